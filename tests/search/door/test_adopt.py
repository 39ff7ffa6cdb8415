"""An adopted supernet is a run as `ofa train` leaves it: every verb goes on from it, and nothing else passes for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ofa
import search
from ofa.data import from_tensors
from ofa.data_file import save_data
from ofa.errors import InvalidInput
from search.app.main import main
from search.run.paths import RunFolder
from search.run.trust import TOOLKIT_ALONE, Trust
from search.training.trained import load_trained
from tests.search.door import small
from tests.search.door.small import MET, QUICK, data, supernet

NET = "tests.search.door.small.Net"
TRUST = Trust(("tests",))
PROFILE = [f"device.profile.{key}={value}".lower() for key, value in small.PROFILE.items()]
SEARCH = [
    *("latency_ms=1000", "search.evaluations=4", "search.finalists.seconds=1", "search.finalists.visits=4"),
    "search.calibration_images=64",
]


@pytest.mark.slow
def test_every_verb_goes_on_from_an_adopted_supernet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = search.adopt(supernet(), data(), "mine")
    assert run.root == Path("outputs/mine")
    assert 'next: ofa search run=mine "trust=[tests]"' in capsys.readouterr().err
    mine = ["run=mine", "trust=[tests]"]
    assert main(["profile", *mine, *PROFILE]) == 0
    assert main(["search", *mine, *SEARCH]) == 0
    assert main(["extract", *mine]) == 0
    assert main(["finetune", *mine, "finetune.epochs=1"]) == 0
    assert main(["compress", *mine, "compress=integers"]) == 0
    assert main(["compare", *mine, "seconds=2", "visits=4"]) == 0
    assert main(["report", "run=mine"]) == 0
    (folder,) = [path.parent for path in (tmp_path / "outputs/mine/subnets").glob("*/model.onnx")]
    assert isinstance(search.load(folder, trust=["tests"]), small.Net)
    page = (tmp_path / "outputs/mine/report.html").read_text()
    assert "Net" in page
    capsys.readouterr()
    joint = ["search=joint", "study=joint", "search.evaluations=2", "search.tuning.epochs=1", *SEARCH[:1], *SEARCH[2:]]
    assert main(["search", *mine, *joint]) == 2
    said = capsys.readouterr().err
    assert "search.tuning.start=rewind: the supernet was trained in a loop of its own and adopted" in said
    assert "one_of=[fresh,inherit]" in said
    starts = "search.parameters.start.one_of=[inherit,fresh]"
    assert main(["search", *mine, *joint, starts, "search.tuning.zero_shot=0", "search.tuning.finalist_epochs=1"]) == 0


def test_what_is_loaded_is_what_was_adopted(tmp_path: Path) -> None:
    before = supernet()
    weights = {name: tensor.clone() for name, tensor in before.tensors().items()}
    run = search.adopt(before, data(), "mine", tmp_path, model_arguments={"width": 24})
    trained = load_trained(run, TRUST)
    assert trained.digest == before.digest
    assert trained.config["model"] == {"_target_": NET, "width": 24}
    images = data().validation.images
    arch = before.space.smallest
    assert torch.equal(trained.supernet.subnet(arch).eval()(images), before.subnet(arch).eval()(images))
    assert torch.equal(trained.data.train.images, data().train.images)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in before.tensors().items())


def test_the_folder_calls_what_is_trusted_alone(tmp_path: Path) -> None:
    run = search.adopt(supernet(), data(), "mine", tmp_path)
    with pytest.raises(InvalidInput, match=rf"calls '{NET}', which is not of this toolkit.*add trust=\[tests\]"):
        load_trained(run, TOOLKIT_ALONE)


def test_a_run_with_its_data_in_it_can_be_moved(tmp_path: Path) -> None:
    search.adopt(supernet(), data(), "mine", tmp_path)
    shutil.move(tmp_path / "mine", tmp_path / "elsewhere/yours")
    trained = load_trained(RunFolder(tmp_path / "elsewhere/yours"), TRUST)
    assert torch.equal(trained.data.test.images, data().test.images)


def test_stored_data_is_read_from_the_run_alone(tmp_path: Path) -> None:
    run = search.adopt(supernet(), data(), "mine", tmp_path)
    save_data(data(), tmp_path / "other.safetensors")
    path = run.supernet / "config.yaml"
    path.write_text(path.read_text().replace("path: dataset.safetensors", f"path: {tmp_path}/other.safetensors"))
    with pytest.raises(InvalidInput, match=r"config\.yaml"):
        load_trained(run, TRUST)


def test_data_of_a_function_is_made_again_and_refused_once_it_changed(tmp_path: Path) -> None:
    file = str(tmp_path / "data.safetensors")
    save_data(data(), Path(file))
    of_file: dict[str, Any] = {"dataset": "tests.search.door.small.from_file", "dataset_arguments": {"path": file}}
    run = search.adopt(supernet(), data(), "mine", tmp_path, **of_file)
    assert not (run.supernet / "dataset.safetensors").exists()
    assert torch.equal(load_trained(run, TRUST).data.test.images, data().test.images)
    save_data(ofa.data.digits(seed=1), Path(file))
    with pytest.raises(InvalidInput, match=r"is not the data that .*supernet was made with: train .* added, .* gone"):
        load_trained(run, TRUST)
    with pytest.raises(InvalidInput, match=r"dataset='tests\.search\.door\.small\.from_file' makes other data .* gone"):
        search.adopt(supernet(), data(), "other", tmp_path, **of_file)


def test_adopting_again_does_nothing_and_another_one_needs_force(tmp_path: Path) -> None:
    run = search.adopt(supernet(), data(), "mine", tmp_path)
    before = (run.supernet / "model.safetensors").stat().st_mtime_ns
    search.adopt(supernet(), data(), "mine", tmp_path)
    assert (run.supernet / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(InvalidInput, match=r"from another weights"):
        search.adopt(supernet(seed=1), data(), "mine", tmp_path)
    search.adopt(supernet(seed=1), data(), "mine", tmp_path, force=True)
    assert load_trained(run, TRUST).digest == supernet(seed=1).digest
    with pytest.raises(InvalidInput, match=r"is another supernet .* use run=NAME"):
        search.find(supernet(), data(), MET, evaluations=3, run="mine", outputs=tmp_path, **QUICK)


def test_subnets_found_in_an_adopted_run_are_built_again_without_the_model(tmp_path: Path) -> None:
    search.adopt(supernet(), data(), "mine", tmp_path)
    found = search.find(supernet(), data(), MET, evaluations=3, run="mine", outputs=tmp_path, **QUICK)
    found.extract(tmp_path / "subnet")
    assert json.loads((tmp_path / "subnet/card.json").read_text())["rebuild"]["model"] == {"_target_": NET}
    assert isinstance(search.load(tmp_path / "subnet", trust=["tests"]), small.Net)


def local_net() -> nn.Module:
    class Local(small.Net):
        """A class that no module has."""

    return Local()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model_arguments": {"width": 16}}, rf"model='{NET}' makes another network: stem\.weight is float32 \(24, .*"),
        ({"model_arguments": {"smooth": True}}, r"computes other outputs .*give its model_arguments"),
        ({"model_arguments": {"wide": 16}}, r"wide"),
        ({"model_arguments": {"width": torch.tensor(24)}}, r"model_arguments\['width'\]=.* is a Tensor; give numbers"),
        ({"model_arguments": {"width": "${seed}"}}, r"must hold plain values"),
        ({"model": "tests.search.door.small.Nat"}, r"Nat"),
        ({"model": "no_such_module.Net"}, r"no_such_module"),
        ({"model": "tests.search.door.small.data"}, r"must return an nn\.Module"),
        ({"dataset": "ofa.data.digits", "dataset_arguments": {"seed": 1}}, r"makes other data than was given: train"),
        ({"dataset": "ofa.data.digit"}, r"digit"),
        ({"dataset_arguments": {"seed": 1}}, r"are of a function: give its name"),
        ({"run": "a/b"}, r"run='a/b' must be a plain name"),
    ],
)
def test_what_cannot_be_made_again_is_said(arguments: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        search.adopt(supernet(), data(), **{"run": "mine", "outputs": tmp_path, **arguments})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "mine").exists()


def test_a_class_that_no_verb_finds_needs_a_name(tmp_path: Path) -> None:
    local = ofa.Supernet(local_net(), torch.zeros(2, 1, 8, 8))
    with pytest.raises(InvalidInput, match=r"Local is defined in .*, where no verb finds it: move it to a module"):
        search.adopt(local, data(), "mine", tmp_path)
    images, labels = data().train.images, data().train.labels
    tensors = from_tensors(images, labels)
    run = search.adopt(local, tensors, "mine", tmp_path, model=NET)
    assert load_trained(run, TRUST).digest == local.digest
