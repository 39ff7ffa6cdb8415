"""How trainings began and ended: read from the run's folders, shown on the page, nothing where there is nothing."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from ofa.checkpoint import save_checkpoint
from ofa.errors import InvalidInput
from ofa.records import write_record
from ofa.start import StartRecord
from search.report.data import Began
from search.report.gather import gather_began
from search.report.page import began_section, render
from search.run.paths import RunFolder, SupernetFolder
from search.run.training_cards import Epoch, History
from tests.search.report.example import example
from tests.search.report.rendered import parsed, rendered

START = StartRecord("nets/old.pt", "1234567890abcdef", 60, missing=("head.weight",))
REASON = "3 validations in a row (train.patience) were no better"


def history(ended: str = "") -> History:
    rows = [Epoch(epoch=number, step=number, loss=1.0, learning_rate=0.1, seconds=1.0) for number in (1, 2)]
    return History(rows=(rows[0], Epoch(epoch=2, step=2, loss=0.9, learning_rate=0.1, seconds=2.0, ended=ended)))


def run(folder: Path, *, start: bool = False, ended: str = "") -> RunFolder:
    made = RunFolder(folder)
    files = SupernetFolder(made.supernet)
    files.root.mkdir(parents=True)
    write_record(files.history, history(ended))
    if start:
        save_checkpoint(files.start, {"weight": torch.ones(2)}, {"start": asdict(START)})
    return made


def test_a_start_and_an_early_end_are_found(tmp_path: Path) -> None:
    assert gather_began(run(tmp_path / "a", start=True, ended=REASON)) == (Began("supernet", str(START), REASON),)
    assert gather_began(run(tmp_path / "b", ended=REASON)) == (Began("supernet", "", REASON),)
    assert gather_began(run(tmp_path / "c")) == ()


def test_a_damaged_start_is_named(tmp_path: Path) -> None:
    made = run(tmp_path, start=True)
    path = SupernetFolder(made.supernet).start
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(InvalidInput, match=r"start\.safetensors"):
        gather_began(made)


def test_columns_are_those_with_something_to_say() -> None:
    both, _ = rendered(began_section((Began("supernet", str(START), ""), Began("dense/net", "", REASON))))
    assert "nets/old.pt (60 tensors, 1234567890abcdef; head.weight as built)" in both and REASON in both
    alone, _ = rendered(began_section((Began("supernet", "", REASON),)))
    assert "ended early" in alone and "weights began as" not in alone
    assert began_section(()) is None


def test_the_page_shows_and_escapes_them() -> None:
    page = render(replace(example(), began=(Began("supernet", "<img src=x>", REASON),)))
    assert parsed(page).open == []
    assert "&lt;img src=x&gt;" in page and REASON in page
    assert "How trainings began and ended" not in render(example())
