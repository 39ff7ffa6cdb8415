"""`ofa prune` from end to end: what it leaves, what it skips, what goes on after a kill, what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from ofa.checkpoint import load_checkpoint
from ofa.data import synthetic
from ofa.models import LeNet5
from search.app.main import main

TINY = [
    "model=lenet5",
    "data=synthetic",
    "data.dataset.image_size=8",
    "data.dataset.samples=320",
    "dense.epochs=4",
    "dense.batch_size=32",
    "dense.validate_every=2",
    "run=tiny",
]
SPARSE = ["prune", *TINY, "prune=cubic", "prune.sparsity=0.7", "name=sparse"]
SLIM = ["prune", *TINY, "prune=channels", "name=slim"]
RUN = Path("outputs/tiny")
FILES = {"model.safetensors", "masks.safetensors", "history.json", "card.json", "config.yaml", "stage.json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a sparse and a slim network; tests that change it work on a copy."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("prune")
        patch.chdir(place)
        assert main(SPARSE) == 0
        assert main(SLIM) == 0
        yield place


@pytest.fixture
def copy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(folder / "outputs", tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def card_of(place: Path) -> dict[str, object]:
    return dict(json.loads((place / "card.json").read_text()))


def test_a_sparse_network_is_left_with_its_masks(folder: Path) -> None:
    place = folder / RUN / "prune/sparse"
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
    assert float(right.double().mean()) == pytest.approx(card["accuracy"]["test"])  # type: ignore[index]
    assert card["accuracy"]["test"] > 0.7  # type: ignore[index]  # chance: 0.25
    history = json.loads((place / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert history[-1]["density"] == card["density"]


def test_histograms_hold_every_weight_that_is_left(folder: Path) -> None:
    place = folder / RUN / "prune/sparse"
    tensors, _ = load_checkpoint(place / "model.safetensors")
    for row in card_of(place)["layers"]:  # type: ignore[attr-defined]
        assert sum(row["histogram"]["counts"]) == row["kept"]
        largest = float(tensors[row["name"]].abs().max())
        assert row["histogram"]["high"] == pytest.approx(largest) == -row["histogram"]["low"]


def test_a_slim_network_is_smaller_for_real(folder: Path) -> None:
    place = folder / RUN / "prune/slim"
    assert {path.name for path in place.iterdir()} == FILES | {"slim"}
    card = card_of(place)
    slim = card["slim"]
    assert slim["macs"] <= 0.5 * card["macs"]  # type: ignore[index,operator]
    assert slim["accuracy"] == card["accuracy"]  # type: ignore[index]
    tensors, _ = load_checkpoint(place / "slim/model.safetensors")
    assert sum(tensor.numel() for tensor in tensors.values()) < card["params"]
    session = onnxruntime.InferenceSession(place / "slim/model.onnx", providers=["CPUExecutionProvider"])
    data = synthetic(image_size=8, num_classes=4, samples=320, noise=0.15)
    (logits,) = session.run(["logits"], {"input": data.test.images.numpy()})
    accuracy = (logits.argmax(1) == data.test.labels.numpy()).mean()
    assert accuracy == pytest.approx(slim["accuracy"]["test"])  # type: ignore[index]
    assert np.isfinite(logits).all()


def test_both_come_from_one_dense_network(folder: Path) -> None:
    (dense,) = (folder / RUN / "dense").iterdir()
    assert {path.name for path in dense.iterdir()} == FILES - {"masks.safetensors"}
    digest = card_of(dense)["digest"]
    for name in ("sparse", "slim"):
        assert card_of(folder / RUN / "prune" / name)["dense"]["digest"] == digest  # type: ignore[index]


def test_again_skips_everything_and_shows_the_row(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(copy)
    assert main(SPARSE) == 0
    said = capsys.readouterr()
    assert said.err.count("is there, nothing to do") == 2
    assert "30.00 %" in said.out and said.out.splitlines()[-1].endswith("sparse")
    assert contents(copy) == before


def test_another_recipe_under_the_same_name_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(copy)
    assert main([*SPARSE, "prune.sparsity=0.5"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ofa prune")]
    assert "sparsity=0.7 there, 0.5 now" in line and "name=NAME" in line
    assert contents(copy) == before


def test_how_it_is_watched_makes_no_other_network(copy: Path) -> None:
    before = contents(copy)
    assert main([*SPARSE, "dense.validate_every=1", "dense.checkpoint_seconds=5"]) == 0
    assert contents(copy) == before


def test_a_multirun_has_a_folder_a_job_and_one_table(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["prune.retraining.epochs=1", "prune/criterion=magnitude,random", "prune/schedule=one_shot,doubling"]
    assert main(["prune", *TINY, "--multirun", "initializer=built,xavier", *sweep]) == 0
    out = capsys.readouterr().out
    assert out.count("test accuracy") == 1
    made = {path.name for path in (copy / RUN / "prune").iterdir()} - {"sparse", "slim"}
    assert len(made) == len(out.splitlines()) - 2 == 8
    for criterion in ("magnitude", "random"):
        for schedule in ("one_shot", "doubling"):
            start = f"lenet5-synthetic-cubic_retraining.epochs=1_criterion={criterion}_schedule={schedule}"
            assert sum(name.startswith(start) for name in made) == 2, made  # one an initializer
    assert len(list((copy / RUN / "dense").iterdir())) == 2  # one an initializer


class Killed(BaseException):
    """The process ends here, and nothing is cleaned up."""


@pytest.mark.parametrize("recipe", ["cubic", "rigl", "lottery"])
def test_a_killed_run_goes_on_to_the_same_bits(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], recipe: str
) -> None:
    rounds = ["prune.method.rounds=1"] if recipe == "lottery" else []
    whole = ["prune", *TINY, f"prune={recipe}", *rounds, "prune.retraining.epochs=2"]
    assert main([*whole, "name=whole"]) == 0

    from ofa.train import network

    save, saved = network.save_network, 0

    def save_and_die(*arguments: object) -> None:
        nonlocal saved
        save(*arguments)  # type: ignore[arg-type]
        saved += 1
        if saved % 5 == 0:
            raise Killed

    monkeypatch.setattr(network, "save_network", save_and_die)
    killed = 0
    while True:
        try:
            assert main([*whole, "name=killed", "dense.checkpoint_seconds=0"]) == 0
            break
        except Killed:
            killed += 1
            assert not (copy / RUN / "prune/killed/card.json").exists()
    assert killed >= 2
    for name in ("model.safetensors", "masks.safetensors"):
        first, second = (load_checkpoint(copy / RUN / "prune" / one / name)[0] for one in ("whole", "killed"))
        assert all(torch.equal(tensor, second[key]) for key, tensor in first.items()), name
    assert not (copy / RUN / "prune/killed/checkpoint.safetensors").exists()


def test_a_lottery_tells_its_levels(copy: Path) -> None:
    assert main(["prune", *TINY, "prune=lottery", "prune.method.rounds=2", "prune.retraining.epochs=1", "name=x"]) == 0
    levels = card_of(copy / RUN / "prune/x")["levels"]
    kinds = [(row["level"], row["kind"]) for row in levels]  # type: ignore[attr-defined]
    assert kinds == [(0, "ticket")] + [(n, kind) for n in (1, 2) for kind in ("ticket", "reinit", "random")]
    assert levels[-1]["density"] == pytest.approx(0.64, abs=0.01)  # type: ignore[index]
    assert main(["report", "run=tiny"]) == 0
    assert "reinit" in (copy / RUN / "report.html").read_text()


def test_without_a_baseline_no_dense_network_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["prune", *TINY, "prune=snip", "baseline=false", "dense.epochs=1", "name=alone"]) == 0
    assert not (tmp_path / RUN / "dense").exists()
    assert card_of(tmp_path / RUN / "prune/alone")["dense"] is None
    assert main(["report", "run=tiny"]) == 0


def test_report_of_a_run_without_a_supernet(copy: Path) -> None:
    assert main(["report", "run=tiny"]) == 0
    page = (copy / RUN / "report.html").read_text()
    assert "<h1>2 pruned networks</h1>" in page
    for figure in ("prune-accuracy", "prune-layers-0", "prune-weights-0"):
        assert f'<div id="{figure}">' in page
    assert "sparse" in page and "conv1.weight" in page


WRONG = [
    ("prune.sparsity=1.5", "prune.sparsity=1.5 is the fraction removed"),
    ("prune.start=denes", "prune.start='denes' must be one of dense, initial"),
    ("prune=cubik", "prune=cubik is not known; did you mean cubic"),
    ("prune/criterion=magnitud", "did you mean magnitude"),
    ("prune.keep=[nothing]", "keep='nothing' matches no weight"),
    ("prune.retraining.epochs=0", "prune.retraining.epochs=0 must be a whole number"),
    ("prune.retraining.learning_rate=0", "prune.retraining.learning_rate=0 must be more than 0"),
    ("prune.method.rounds_before=3", "add prune/schedule=none"),
    ("prune.schedule.end=1000000", "after the last of"),
    ("+prune.criterion.colour=1", "prune.criterion (ofa.prune.criteria.magnitude): "),
    ("prune/method=widths", "add prune/schedule=none"),
    ("prune/granularity=channel_latency", "outputs/tiny/profiles/onnxruntime.json does not exist"),
    ("name=a/b", "name='a/b' must be a plain name"),
    ("dense.optimizer.lr=abc", "dense.optimizer: "),
]


@pytest.mark.parametrize(("override", "message"), WRONG, ids=[override for override, _ in WRONG])
def test_one_clear_line_and_exit_code_2(
    override: str, message: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(copy)
    arguments = ["prune", *TINY, "name=new", override]
    assert main([one for one in arguments if not (override.startswith("name=") and one == "name=new")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[-1]
    assert not [line for line in lines if "Traceback" in line]
    assert contents(copy) == before
