"""The benchmark of low rank: what it measures keeps to its budgets, and its table compares with the control."""

from __future__ import annotations

import pytest

from benchmarks import low_rank
from ofa.data import synthetic


def test_every_way_keeps_to_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"EPOCHS": 1, "MORE_EPOCHS": 1, "WIDTHS": (8, 8, 8), "BUDGETS": (0.5,)}.items():
        monkeypatch.setattr(low_rank, name, value)
    data = synthetic(image_size=8, samples=40)
    row = low_rank.measured(data, 0)
    whole = row["control"]
    for way in ("svd 0.5", "tucker 0.5", "narrow 0.5"):
        assert 0.3 * whole["parameters"] < row[way]["parameters"] <= 0.5 * whole["parameters"]
        assert row[way]["macs"] < whole["macs"]
    assert low_rank.table([row]).count("\n") == 5


def test_differences_are_paired_with_the_control_of_the_same_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_rank, "BUDGETS", (0.5,))
    sizes = {"parameters": 1000, "macs": 9000}
    rows = [
        {
            "control": {"error": control, **sizes},
            **{f"{way} 0.5": {"at_once": 50.0, "error": control + change, **sizes} for way in low_rank.METHODS},
            "narrow 0.5": {"error": control, **sizes},
        }
        for control, change in ((1.0, 0.5), (3.0, 1.5))
    ]
    text = low_rank.table(rows)
    assert "| two dense layers | 1,000 | 9,000 | 50.00 ± 0.00 | 3.00 ± 2.12 | +1.00 (0.50) |" in text
    assert "| narrower, from fresh weights | 1,000 | 9,000 |  | 2.00 ± 1.41 | +0.00 (0.00) |" in text
