"""Rows of extracted subnets, those of older files too."""

from __future__ import annotations

from pathlib import Path

from search.subnet_rows import is_for, is_largest, limits_of, row_of, times_of

OLD = {"device": "laptop", "limit_ms": 4.0, "predicted_ms": 3.0, "measured_ms": 3.5}
OLD_LARGEST = {**OLD, "limit_ms": None}


def test_a_row_says_what_the_card_does() -> None:
    card = {"device": "laptop", "limit_ms": None, "limits": {"params": 9.0}, "macs": 5, "more": 1}
    row = row_of(card, Path("subnets/laptop"))
    assert row["limits"] == {"params": 9.0}
    assert row["macs"] == 5
    assert row["peak_activation_bytes"] is None
    assert row["folder"] == "subnets/laptop"
    assert "more" not in row
    assert not is_largest(row)  # though latency has no limit
    assert is_largest({**row, "largest": True})


def test_limits_find_their_row() -> None:
    row = {"limit_ms": 4.0, "limits": {"latency_ms": 4.0, "params": 9.0}}
    assert is_for(row, {"params": 9.0, "latency_ms": 4.0})
    assert not is_for(row, {"latency_ms": 4.0})
    assert limits_of(row) == row["limits"]


def test_older_rows_are_understood() -> None:
    assert is_largest(OLD_LARGEST)
    assert not is_largest(OLD)
    assert is_for(OLD, {"latency_ms": 4.0})
    assert not is_for(OLD, {"latency_ms": 5.0})
    assert (limits_of(OLD), limits_of(OLD_LARGEST)) == ({"latency_ms": 4.0}, {})
    assert times_of(OLD) == {"latency_ms": 3.5}
    assert times_of(OLD, "predicted") == {"latency_ms": 3.0}
    assert times_of({**OLD, "measured": {"latency_ms@a": 1.0}}) == {"latency_ms@a": 1.0}
