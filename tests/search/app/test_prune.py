"""`ofa prune` from end to end: what it leaves, what it skips, what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from ofa.arch import Arch
from ofa.checkpoint import load_checkpoint
from ofa.data import synthetic
from ofa.models import LeNet5
from search.app.main import main
from search.networks.rebuild import load
from tests.search.app.pruned_run import RUN, SPARSE, TINY, card_of, contents
from tests.without_the_package import check_plain_pytorch

DENSE_FILES = {"model.safetensors", "data.safetensors", "history.json", "card.json", "config.yaml", "stage.json"}
NETWORK_FILES = {"model.safetensors", "model.onnx", "network.py", "arch.json", "verify.npz", "card.json"}
FILES = DENSE_FILES | NETWORK_FILES | {"masks.safetensors"}


def test_a_sparse_network_is_left_with_its_masks(pruned: Path) -> None:
    place = pruned / RUN / "prune/sparse"
    assert {path.name for path in place.iterdir()} == FILES
    card = card_of(place)
    assert card["density"] == pytest.approx(0.3, abs=1e-4)
    masks, _ = load_checkpoint(place / "masks.safetensors")
    tensors, _ = load_checkpoint(place / "model.safetensors")
    assert all(not tensors[name][~mask].any() for name, mask in masks.items())
    # The file is of the plain model: no name and no value of the pruner in it.
    net = LeNet5((1, 8, 8), 4, channels=(16, 32), hidden=(128, 64), batch_norm=True)
    net.load_state_dict(tensors)
    data = synthetic(image_size=8, num_classes=4, samples=320, noise=0.15)
    with torch.no_grad():
        right = net.eval()(data.test.images).argmax(1) == data.test.labels
    assert float(right.double().mean()) == pytest.approx(card["scores"]["test"]["accuracy"]["value"])  # type: ignore[index]
    assert card["scores"]["test"]["accuracy"]["value"] > 0.7  # type: ignore[index]  # chance: 0.25
    history = json.loads((place / "history.json").read_text())["rows"]
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert history[-1]["density"] == card["density"]


def test_histograms_hold_every_weight_that_is_left(pruned: Path) -> None:
    place = pruned / RUN / "prune/sparse"
    tensors, _ = load_checkpoint(place / "model.safetensors")
    for row in card_of(place)["layers"]:  # type: ignore[attr-defined]
        assert sum(row["histogram"]["counts"]) == row["kept"]
        largest = float(tensors[row["name"]].abs().max())
        assert row["histogram"]["high"] == pytest.approx(largest) == -row["histogram"]["low"]


def test_a_slim_network_is_smaller_for_real(pruned: Path) -> None:
    place = pruned / RUN / "prune/slim"
    assert {path.name for path in place.iterdir()} == FILES | {"slim"}
    assert {path.name for path in (place / "slim").iterdir()} == NETWORK_FILES
    card = card_of(place)
    slim = card["slim"]
    assert slim["macs"] <= 0.5 * card["macs"]  # type: ignore[index,operator]
    assert slim["scores"] == card["scores"]  # type: ignore[index]
    tensors, _ = load_checkpoint(place / "slim/model.safetensors")
    assert sum(tensor.numel() for tensor in tensors.values()) < card["params"]
    session = onnxruntime.InferenceSession(place / "slim/model.onnx", providers=["CPUExecutionProvider"])
    data = synthetic(image_size=8, num_classes=4, samples=320, noise=0.15)
    (logits,) = session.run(["logits"], {"input": data.test.images.numpy()})
    accuracy = (logits.argmax(1) == data.test.labels.numpy()).mean()
    assert accuracy == pytest.approx(slim["scores"]["test"]["accuracy"]["value"])  # type: ignore[index]
    assert np.isfinite(logits).all()


@pytest.mark.slow
def test_what_prune_wrote_loads_again_and_runs_anywhere(pruned: Path) -> None:
    places = [pruned / RUN / "prune" / name for name in ("sparse", "slim", "slim/slim")]
    for place in places:
        net = load(place)
        tensors, _ = load_checkpoint(place / "model.safetensors")
        assert type(net) is LeNet5 and net.state_dict().keys() == tensors.keys()
        verify = np.load(place / "verify.npz")
        session = onnxruntime.InferenceSession(place / "model.onnx", providers=["CPUExecutionProvider"])
        (logits,) = session.run(["logits"], {"input": verify["input"]})
        np.testing.assert_allclose(logits, verify["logits"], atol=1e-5)
        with torch.no_grad():
            np.testing.assert_allclose(net(torch.from_numpy(verify["input"])), verify["logits"], atol=1e-6)
        card = card_of(place)
        assert card["onnx"]["opset"] == 18 and card["plain_pytorch"] == {"class": "Network"}  # type: ignore[index]
        assert card["num_classes"] == 4 and card["preprocessing"]
    assert Arch.from_json((places[0] / "arch.json").read_text()) == Arch()
    widths = Arch.from_json((places[2] / "arch.json").read_text()).width
    assert widths["conv1"] == load(places[2]).conv1.out_channels < load(places[1]).conv1.out_channels  # type: ignore[union-attr,operator]
    check_plain_pytorch(*places)


def test_a_sparse_onnx_file_keeps_its_zeros(pruned_copy: Path) -> None:
    two_to_four = ["prune", *TINY, "prune=two_to_four", "prune.retraining.epochs=1", "name=two_to_four"]
    assert main(two_to_four) == 0
    for name in ("sparse", "two_to_four"):
        place = pruned_copy / RUN / "prune" / name
        tensors, _ = load_checkpoint(place / "model.safetensors")
        masks, _ = load_checkpoint(place / "masks.safetensors")
        model = onnx.load(place / "model.onnx")
        stored = [torch.from_numpy(onnx.numpy_helper.to_array(each).copy()) for each in model.graph.initializer]
        for key, mask in masks.items():
            # A norm that follows may be folded in: another scale a row, but the same zeros.
            same = [each for each in stored if each.shape == mask.shape]
            assert any(torch.equal(each != 0, tensors[key] != 0) for each in same), key
            assert not bool(tensors[key][~mask].any())
        load(place)


def test_both_come_from_one_dense_network(pruned: Path) -> None:
    (dense,) = (pruned / RUN / "dense").iterdir()
    assert {path.name for path in dense.iterdir()} == DENSE_FILES
    digest = card_of(dense)["digest"]
    for name in ("sparse", "slim"):
        assert card_of(pruned / RUN / "prune" / name)["dense"]["digest"] == digest  # type: ignore[index]


def test_again_skips_everything_and_shows_the_row(pruned_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(pruned_copy)
    assert main(SPARSE) == 0
    said = capsys.readouterr()
    assert said.err.count("is there, nothing to do") == 2
    assert "30.00 %" in said.out and said.out.splitlines()[-1].endswith("sparse")
    assert contents(pruned_copy) == before


def test_how_it_is_watched_makes_no_other_network(pruned_copy: Path) -> None:
    before = contents(pruned_copy)
    assert main([*SPARSE, "dense.validate_every=1", "dense.checkpoint_seconds=5"]) == 0
    assert contents(pruned_copy) == before


@pytest.mark.slow
def test_a_multirun_has_a_folder_a_job_and_one_table(pruned_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["prune.retraining.epochs=1", "prune/criterion=magnitude,random", "prune/schedule=one_shot,doubling"]
    assert main(["prune", *TINY, "--multirun", "initializer=built,xavier", *sweep]) == 0
    out = capsys.readouterr().out
    assert out.count("test accuracy") == 1
    made = {path.name for path in (pruned_copy / RUN / "prune").iterdir()} - {"sparse", "slim"}
    assert len(made) == len(out.splitlines()) - 2 == 8
    for criterion in ("magnitude", "random"):
        for schedule in ("one_shot", "doubling"):
            start = f"lenet5-synthetic-cubic_retraining.epochs=1_criterion={criterion}_schedule={schedule}"
            assert sum(name.startswith(start) for name in made) == 2, made  # one an initializer
    assert len(list((pruned_copy / RUN / "dense").iterdir())) == 2  # one an initializer


def test_a_lottery_tells_its_levels(pruned_copy: Path) -> None:
    assert main(["prune", *TINY, "prune=lottery", "prune.method.rounds=2", "prune.retraining.epochs=1", "name=x"]) == 0
    levels = card_of(pruned_copy / RUN / "prune/x")["levels"]
    kinds = [(row["level"], row["kind"]) for row in levels]  # type: ignore[attr-defined]
    assert kinds == [(0, "ticket")] + [(n, kind) for n in (1, 2) for kind in ("ticket", "reinit", "random")]
    assert levels[-1]["density"] == pytest.approx(0.64, abs=0.01)  # type: ignore[index]
    files = [pruned_copy / RUN / f"prune/x/levels/level_{level:02d}.{kind}.json" for level, kind in kinds]
    losses = [json.loads(file.read_text())["row"]["history"][-1]["loss"] for file in files]
    assert len(set(losses)) == len(kinds), "each control is a training of its own"
    assert main(["report", "run=tiny"]) == 0
    assert "reinit" in (pruned_copy / RUN / "report.html").read_text()


def test_without_a_baseline_no_dense_network_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["prune", *TINY, "prune=snip", "baseline=false", "dense.epochs=1", "name=alone"]) == 0
    assert not (tmp_path / RUN / "dense").exists()
    assert card_of(tmp_path / RUN / "prune/alone")["dense"] is None
    assert main(["report", "run=tiny"]) == 0


def test_report_of_a_run_without_a_supernet(pruned_copy: Path) -> None:
    assert main(["report", "run=tiny"]) == 0
    page = (pruned_copy / RUN / "report.html").read_text()
    assert "<h1>2 pruned networks</h1>" in page
    for figure in ("prune-scores", "prune-layers-0", "prune-weights-0"):
        assert f'<div id="{figure}">' in page
    assert "sparse" in page and "conv1.weight" in page
    links = re.findall('<a href="([^"]+)">', page)
    assert len(links) == 6 and all((pruned_copy / RUN / unquote(link)).is_file() for link in links)


def test_the_dense_network_teaches_alike_from_its_file(pruned_copy: Path) -> None:
    distilled = ["prune", *TINY, "prune=distilled", "prune.retraining.epochs=1"]
    (dense,) = pruned_copy.glob(f"{RUN}/dense/*/model.safetensors")
    network = ["teacher=network", "model@teacher.model=lenet5", f"teacher.weights={dense}"]
    for name, teacher in [("own", []), ("file", network), ("start", ["teacher=start"])]:
        assert main([*distilled, f"name={name}", *teacher]) == 0
    own, file, start = ((pruned_copy / RUN / f"prune/{name}/model.safetensors") for name in ("own", "file", "start"))
    assert own.read_bytes() == file.read_bytes() != start.read_bytes()
    assert main([*distilled, "name=other", "teacher=network", f"teacher.weights={dense}"]) == 2  # a ResNet's
