"""Rows of a training's history, as they are read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from ofa.errors import InvalidInput
from ofa.records import content_of, read_record, write_record
from search.run.training_cards import History, history_of

ROW = {"epoch": 1, "step": 3, "loss": 0.8, "learning_rate": 0.001, "seconds": 0.04, "density": 0.8}
SCORES = {"network": {"accuracy": 0.9, "perplexity": 12.5}}


@pytest.mark.parametrize("wrong", [{"density": -0.1}, {"density": 1.5}, {"seconds": -1.5}, {"step": -1}])
def test_an_epoch_has_fractions_that_are_fractions(wrong: dict[str, float], tmp_path: Path) -> None:
    write_record(tmp_path / "history.json", history_of([ROW | {"scores": SCORES}]))
    history = read_record(tmp_path / "history.json", History)
    assert content_of(history) == {"rows": (ROW | {"scores": SCORES},)}
    (row,) = history.rows
    assert (row.value("network", "perplexity"), row.value("largest", "accuracy")) == (12.5, None)
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        write_record(tmp_path / "history.json", History(rows=(structs.replace(row, **wrong),)))
