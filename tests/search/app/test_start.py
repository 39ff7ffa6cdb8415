"""`ofa train` and `ofa prune` from weights that are there: copied into the run, adopted as they are, held against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ofa.models import LeNet5
from ofa.randomize import randomize_
from search.app.main import main
from search.run.paths import RunFolder
from search.training.trained import load_trained
from tests.record_files import content_of
from tests.search.app.tiny_run import contents

MODEL = ["model=lenet5", "data=synthetic", "data.dataset.image_size=8", "data.dataset.samples=320", "run=tiny"]
START = ["start=checkpoint", "start.path=w.pt"]
TRAIN = ["train", *MODEL, *START, "train.epochs=0", "train.calibration_images=32"]
PRUNE = ["prune", *MODEL, *START, "dense.epochs=0", "prune=one_shot", "prune.retraining.epochs=1", "name=sparse"]
RUN = Path("outputs/tiny")


def write_weights(seed: int = 0, path: str = "w.pt") -> dict[str, torch.Tensor]:
    """Writes weights of the model to a file in the current folder, and returns them."""
    net = randomize_(LeNet5((1, 8, 8), 4, channels=[16, 32], hidden=[128, 64], batch_norm=True), seed)
    torch.save(net.state_dict(), path)
    return net.state_dict()


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def last_line(arguments: Sequence[str], capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    capsys.readouterr()
    assert main(arguments) == code
    return capsys.readouterr().err.splitlines()[-1]


def test_no_epoch_adopts_the_weights(capsys: pytest.CaptureFixture[str]) -> None:
    given = write_weights()
    assert main(TRAIN) == 0
    assert "train: starts from w.pt (" in capsys.readouterr().err
    for name in ("start", "model"):
        there = load_file(RUN / "supernet" / f"{name}.safetensors")
        assert all(torch.equal(there[key], tensor) for key, tensor in given.items())
    assert content_of(RUN / "supernet/history.json")["rows"] == []


def test_the_file_may_go_and_may_not_change(capsys: pytest.CaptureFixture[str]) -> None:
    write_weights()
    assert main(TRAIN) == 0
    before = contents(RUN)
    write_weights(1)
    line = last_line(TRAIN, capsys)
    assert "was made from another start (" in line and "run=NAME" in line and "force=true" in line
    Path("w.pt").unlink()
    assert "nothing to do" in last_line(TRAIN, capsys, 0)
    assert load_trained(RunFolder(RUN)).start == RUN / "supernet/start.safetensors"
    assert "start.ignore=[] there" in last_line([*TRAIN, "start.ignore=[fc2]"], capsys)
    assert contents(RUN) == before
    assert main([*TRAIN, "force=true"]) == 0  # from the copy
    assert content_of(RUN / "supernet/supernet.json")["digest"] in str(before["supernet/supernet.json"])


def test_force_takes_the_new_file() -> None:
    write_weights()
    assert main(TRAIN) == 0
    given = write_weights(1)
    assert main([*TRAIN, "force=true"]) == 0
    there = load_file(RUN / "supernet/model.safetensors")
    assert all(torch.equal(there[key], tensor) for key, tensor in given.items())


def test_a_stopped_training_resumes_without_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write_weights()
    training = [*TRAIN, "train.epochs=2", "train.batch_size=64"]
    assert main([*training, "run=whole"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr("search.app.training.run_training", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(training) == 130
    Path("w.pt").unlink()
    assert main(training) == 0
    digests = [content_of(Path(f"outputs/{run}/supernet/supernet.json"))["digest"] for run in ("whole", "tiny")]
    assert digests[0] == digests[1]


def test_another_runs_supernet(capsys: pytest.CaptureFixture[str]) -> None:
    write_weights()
    assert main(TRAIN) == 0
    second = [*TRAIN[:1], *MODEL[:-1], "run=second", "start=supernet", "start.folder=outputs/tiny", *TRAIN[-2:]]
    assert main(second) == 0
    digests = [content_of(Path(f"outputs/{run}/supernet/supernet.json"))["digest"] for run in ("second", "tiny")]
    assert digests[0] == digests[1]
    line = last_line([*second, "run=third", "start.folder=outputs/none"], capsys)
    assert "outputs/none does not exist" in line


BAD = {
    "start.path=missing.pt": "missing.pt does not exist",
    "model=lenet300": "w.pt is of another network than LeNet300: the file lacks",
    "start.ignore=[heads]": "start.ignore='heads' matches no weight",
    "start.key=ema": "has no entry 'ema'",
    "start.path=damaged.pt": "damaged.pt is truncated",
    "start=fresh": "train.epochs=0 takes the weights of a start as they are, and start=fresh has none",
}


@pytest.mark.parametrize("change", BAD)
def test_bad_starts_are_one_line_and_leave_nothing(change: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_weights()
    Path("damaged.pt").write_bytes(Path("w.pt").read_bytes()[:9000])
    arguments = [argument for argument in TRAIN if change != "start=fresh" or argument != START[1]]
    assert BAD[change] in last_line([*arguments, change], capsys)
    assert not (RUN / "supernet").exists()


def test_a_folder_calls_no_start_again() -> None:
    write_weights()
    assert main(TRAIN) == 0
    config = RUN / "supernet/config.yaml"
    assert "ofa.start.checkpoint" in config.read_text()
    load_trained(RunFolder(RUN))
    (RUN / "supernet/start.safetensors").unlink()
    with pytest.raises(ValueError, match=r"start\.safetensors is missing"):
        load_trained(RunFolder(RUN))


def test_the_start_is_the_dense_network(capsys: pytest.CaptureFixture[str]) -> None:
    given = write_weights()
    assert main(PRUNE) == 0
    (dense,) = (RUN / "dense").glob("*/")
    there = load_file(dense / "model.safetensors")
    assert all(torch.equal(there[key], tensor) for key, tensor in given.items())
    assert 0 <= content_of(dense / "card.json")["scores"]["test"]["accuracy"]["value"] <= 1
    Path("w.pt").unlink()
    before = contents(RUN)
    assert "nothing to do" in capsys_err(PRUNE, capsys)
    assert contents(RUN) == before
    assert main([*PRUNE, "name=other", "prune.sparsity=0.5"]) == 0
    assert len(list((RUN / "dense").glob("*/"))) == 1
    write_weights(1)
    assert "was made from another start" in last_line(PRUNE, capsys)


def capsys_err(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 0
    return capsys.readouterr().err


def test_pruning_from_initial_weights_needs_no_dense_network(capsys: pytest.CaptureFixture[str]) -> None:
    write_weights()
    arguments = [*PRUNE, "prune.start=initial", "baseline=false"]
    assert main(arguments) == 0
    first = load_file(RUN / "prune/sparse/model.safetensors")
    Path("w.pt").unlink()
    assert main([*arguments, "force=true"]) == 0
    second = load_file(RUN / "prune/sparse/model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    write_weights()
    assert "draws anew what start=checkpoint reads" in last_line([*arguments, "initializer=lsuv"], capsys)


@pytest.mark.slow
def test_the_whole_job_on_adopted_weights() -> None:
    write_weights()
    quick = [
        *("device.profile.anchors=10", "device.profile.visits=6", "device.profile.repeats=4"),
        *("device.profile.seconds=4", "search.evaluations=6", "search.finalists.candidates=2"),
        *("search.finalists.visits=6", "search.finalists.repeats=4", "search.finalists.seconds=2"),
        *("latency_ms=[1000]", "study=job", "export.calibration_images=64", "search.calibration_images=64"),
    ]
    job = [*TRAIN[1:], *quick]
    assert main(["train", *TRAIN[1:]]) == 0
    Path("w.pt").unlink()
    assert main(["run", *job]) == 0
    assert (RUN / "report.html").is_file() and list((RUN / "subnets").glob("*/model.onnx"))
