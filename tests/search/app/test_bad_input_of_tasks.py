"""Data, metrics, loaders and weights that do not fit: one line, before anything long, and no folder is left."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from ofa.models import ResNet
from search.app.main import main

MODULE = '''
from dataclasses import replace
from functools import partial

import torch
from torch.utils.data import Dataset as MapStyle

import ofa.task
from ofa.data import digits
from ofa.data.targets import rows_of_targets
from ofa.task import Metric


def other_targets(change):
    """Digits with targets of another kind."""
    data = digits()
    splits = {name: getattr(data, name) for name in ("train", "validation", "test")}
    changed = {name: replace(split, targets=change(split.targets)) for name, split in splits.items()}
    return replace(data, **changed)


def of_shape(**_):
    return other_targets(lambda labels: labels[:, None].repeat(1, 3))


def of_dtype(**_):
    return other_targets(lambda labels: labels.double() / 10)


def of_range(**_):
    return replace(other_targets(lambda labels: labels + 5), num_classes=None, outputs=10)


def missing(**_):
    return replace(other_targets(lambda labels: None), num_classes=None, outputs=10)


def nothing_counted(outputs, batch):
    return torch.zeros(batch.examples, 2)


def share(sums):
    return sums[..., 0] / sums[..., 1]


def each(outputs, batch):
    return torch.nn.functional.cross_entropy(outputs, batch.targets, reduction="none")


def loss_of_each(data, **settings):
    return replace(ofa.task.classification(data), loss=each)


def no_such_name(outputs, batch):
    return outputs.nothing


def failing_loss(data, **settings):
    return replace(ofa.task.classification(data), loss=no_such_name)


def never_a_number(data, **settings):
    task = ofa.task.classification(data)
    return replace(task, metrics=(Metric(name="share", statistics=nothing_counted, value=share), *task.metrics))


class Broken(MapStyle):
    def __init__(self, rows=300, bad=7):
        self.rows, self.bad = rows, bad

    def __len__(self):
        return self.rows

    def __getitem__(self, row):
        if row == self.bad:
            raise ValueError("the file of this row is cut short")
        generator = torch.Generator().manual_seed(row)
        return torch.randn(1, 8, 8, generator=generator), row % 3


class Whole:
    def __call__(self, epoch):
        return list(batches(0, first=2))


def batches(epoch, count=6, first=6):
    for number in range(count if epoch else first):
        generator = torch.Generator().manual_seed(number)
        yield torch.randn(32, 1, 8, 8, generator=generator), torch.arange(32) % 3
'''

SMALL = ["model=resnet20", "model.depth=8", "train.epochs=2", "train.validate_every=1", "train.calibration_images=64"]


def data_of(name: str) -> list[str]:
    return [f"data.dataset={{_target_: bad_cases.{name}}}", "data.augment=null"]


CASES = {
    "labels of a wrong shape": (data_of("of_shape"), ["(2, 3) torch.int64", "one class number for each example"]),
    "labels of a wrong type": (data_of("of_dtype"), ["torch.float64", "torch.int64", "task=regression"]),
    "labels out of range": (data_of("of_range"), ["labels run from", "numbered 0 to 9"]),
    "no labels": (data_of("missing"), ["the targets are missing (None)", "a loader gives pairs"]),
    "another task": (["task=segmentation"], ["segmentation needs", "logits"]),
    "a loss that is no scalar": (
        ["task={_target_: bad_cases.loss_of_each, _partial_: true}"],
        ["loss of task classification is a tensor (2,)", "must be a scalar"],
    ),
    "a metric that is no number": (
        ["task={_target_: bad_cases.never_a_number, _partial_: true}"],
        ["share of", "is nan", "must be a finite number"],
    ),
}

LOADERS = {
    "a row that raises": (
        ["data=dataset", "data.dataset.train={_target_: bad_cases.Broken}", "data.dataset.num_classes=3"],
        ["row 7", "the file of this row is cut short"],
    ),
    "a row that raises in a worker": (
        [
            *("data=dataset", "data.dataset.train={_target_: bad_cases.Broken}", "data.dataset.num_classes=3"),
            "data.dataset.num_workers=1",
        ],
        ["row 7", "the file of this row is cut short"],
    ),
    "a loader that ends early": (
        [
            *("data=iterables", "data.dataset.train={_target_: bad_cases.batches, _partial_: true, count: 4}"),
            "data.dataset.validation={_target_: bad_cases.Whole}",
            *("data.dataset.num_classes=3", "data.dataset.steps=6"),
        ],
        ["4", "6", "steps"],
    ),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of the user's, in which the test runs."""
    (tmp_path / "bad_cases.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delitem(sys.modules, "bad_cases", raising=False)
    return tmp_path


PRUNE = ["model=resnet20", "model.depth=8", "dense.epochs=2", "prune.retraining.epochs=1"]
OF_SEVEN = ["teacher=network", "model@teacher.model=resnet20", "teacher.model.depth=8", "teacher.weights=seven.pt"]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], verb: str = "train") -> str:
    """Returns the line that a command ends with."""
    assert main([verb, *(PRUNE if verb == "prune" else SMALL), *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert not [line for line in lines if "Traceback" in line]
    assert lines[-1].startswith(f"ofa {verb}: ") and "unexpected " not in lines[-1], lines[-1]
    return lines[-1]


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_no_supernet(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, words = CASES[name]
    line = refused(arguments, capsys)
    assert all(word in line for word in words), line
    assert not (place / "outputs/main/supernet").exists()


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_trained_on_the_way_to_a_pruning(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, words = CASES[name]
    line = refused(arguments, capsys, "prune")
    assert all(word in line for word in words), line
    assert not list((place / "outputs").rglob("*.safetensors"))


@pytest.mark.parametrize("verb", ["train", "prune"])
def test_a_teacher_of_other_classes(verb: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(ResNet((1, 8, 8), 7, depth=8).state_dict(), place / "seven.pt")
    data = ["data=digits", *(["prune.retraining.distill=1"] if verb == "prune" else [])]
    line = refused([*data, *OF_SEVEN], capsys, verb)
    assert "seven.pt is of another network than ResNet" in line and "ignore" not in line
    line = refused([*data, *OF_SEVEN, "+teacher.model.num_classes=7"], capsys, verb)
    assert "the teacher ResNet returns (" in line and ", 7), and ResNet (" in line
    assert not list((place / "outputs").rglob("*.safetensors"))


@pytest.mark.parametrize("name", LOADERS)
def test_a_loader_that_fails_on_the_way_is_said_in_one_line(
    name: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was begun stays to be resumed, and is no supernet."""
    arguments, words = LOADERS[name]
    line = refused(arguments, capsys)
    assert all(word in line for word in words), line
    assert not (place / "outputs/main/supernet/model.safetensors").exists()


def test_weights_of_another_model(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(ResNet((1, 8, 8), 7, depth=14, widths=(8, 16, 24)).state_dict(), place / "other.pt")
    line = refused(["start=checkpoint", "start.path=other.pt"], capsys)
    assert "other.pt is of another network than ResNet" in line and "the model lacks" in line
    assert not (place / "outputs/main/supernet").exists()


def test_what_was_trained_before_is_not_lost(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *SMALL, "data=synthetic", "data.dataset.image_size=8", "data.dataset.samples=160"]) == 0
    files = {path: path.read_bytes() for path in (place / "outputs/main/supernet").iterdir()}
    for name in ("labels of a wrong shape", "a metric that is no number"):
        refused([*CASES[name][0], "force=true"], capsys)
        assert {path: path.read_bytes() for path in (place / "outputs/main/supernet").iterdir()} == files


def test_a_loss_that_fails_is_told_with_its_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *SMALL, "task={_target_: bad_cases.failing_loss, _partial_: true}"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "unexpected AttributeError at bad_cases.py:" in said and "`return outputs.nothing`" in said
    assert " in " in said.partition("`")[0] and ", at batch 1 of epoch 1 (OFA_TRACEBACK=1" in said
