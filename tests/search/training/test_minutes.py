"""A training of the command that ends by time is complete, and says why it ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofa.records import read_record
from search.app.main import main
from search.run.paths import RunFolder, SupernetFolder
from search.run.training_cards import History


def test_a_stage_that_ends_by_time_is_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "experiment=tiny", "train.epochs=1000", "train.minutes=0.001", f"outputs={tmp_path}"]
    assert main(command) == 0
    rows = read_record(SupernetFolder(RunFolder(tmp_path / "tiny").supernet).history, History).rows
    assert rows[-1].ended.startswith("its 0.001 minutes were up after step ")
    assert "largest" in (rows[-1].scores or {})
    assert f"train: ended early: {rows[-1].ended}" in capsys.readouterr().err
    assert main(command) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_minutes_are_above_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "experiment=tiny", "train.minutes=0", f"outputs={tmp_path}"]) == 2
    assert "train.minutes=0" in capsys.readouterr().err
