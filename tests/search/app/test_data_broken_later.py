"""Data that were good when a network was trained and are not any more: one line, before anything long is begun."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import search.app.verbs
from ofa.errors import InvalidInput
from search.app.main import main
from search.evaluation.supernet import Evaluator
from search.subnets import compare_stage

MODULE = '''
from pathlib import Path

import torch


class Loader:
    """Six batches; the last is only there, and only right, where no file says otherwise."""

    def __init__(self, part):
        self.part = part

    def __call__(self, epoch):
        return self

    def __len__(self):
        return 6

    def __iter__(self):
        fault = Path(f"{self.part}.fault")
        said = fault.read_text() if fault.exists() else ""
        for number in range(6):
            if number == 5 and said == "early":
                return
            if number == 5 and said == "raise":
                raise OSError("the file is cut short")
            generator = torch.Generator().manual_seed(10 * number + len(self.part))
            labels = torch.arange(16) % 3
            images = torch.randn(16, 1, 8, 8, generator=generator) + labels[:, None, None, None]
            yield images, labels + (7 if number == 5 and said == "range" else 0)
'''

PARTS = ("train", "validation", "test")
LOADERS = [f"data.dataset.{part}={{_target_: broken_later.Loader, part: {part}}}" for part in PARTS]
PRUNE = [
    *("prune", "data=iterables", *LOADERS, "data.dataset.num_classes=3", "model=resnet20", "model.depth=8"),
    *("dense.epochs=1", "prune=one_shot", "prune.retraining.epochs=1"),
]
FAULTS = {
    "early": "epoch 0 ended after 5 of 6 batches",
    "raise": "batch 5 of epoch 0: OSError: the file is cut short",
    "range": "test split: batch 6 of those that are judged: the labels run from 7 to 9",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with loaders of the user's, in which the test runs."""
    (tmp_path / "broken_later.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_later", raising=False)
    return tmp_path


def empty_batch(*_: object) -> None:
    raise InvalidInput("batch 6 of those that are judged has 0 examples: leave empty ones out")


def never_measured(*_: object, **__: object) -> None:
    raise AssertionError("a device is measured first")


def test_pruning_tries_what_it_will_be_judged_on_first(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PRUNE, "name=good"]) == 0
    assert (place / "outputs/main/prune/good/verify.npz").exists()
    for fault, line in FAULTS.items():
        (place / "test.fault").write_text(fault)
        assert main([*PRUNE, "name=other"]) == 2
        assert line in capsys.readouterr().err.splitlines()[-1]
        assert not (place / "outputs/main/prune/other").exists()


def test_a_search_tries_the_validation_split_before_it_profiles(
    tiny_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Evaluator, "evaluated_now", empty_batch)
    monkeypatch.setattr(search.app.verbs, "search_devices", never_measured)
    assert main(["search", "run=tiny", "device=eager", "latency_ms=1000"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("ofa search: validation split: batch 6 of those that are judged has 0 examples")
    assert not list((tiny_copy / "outputs/tiny").rglob("*eager*"))


def test_a_comparison_scores_subnets_before_it_measures_them(
    tiny_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare_stage, "replicates", empty_batch)
    monkeypatch.setattr(compare_stage, "measure_device", never_measured)
    assert main(["compare", "run=tiny"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("ofa compare: test split: batch 6 of those that are judged has 0 examples")
    assert not (tiny_copy / "outputs/tiny/comparison.json").exists()
