"""Columns: every candidate is in the cell that holds its value, or in none where a choice does not count."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.analysis.columns import ABSENT, columns_of

NUMBERS = st.one_of(st.integers(-20, 20), st.floats(-1e3, 1e3))


@given(st.lists(st.one_of(st.none(), NUMBERS), min_size=1, max_size=60), st.integers(1, 9))
def test_every_value_is_in_its_cell(values: list[float | None], most: int) -> None:
    columns = columns_of([{} if value is None else {"x": value} for value in values], most)
    if all(value is None for value in values):
        assert columns == ()
        return
    (column,) = columns
    assert len(column.cells) <= most or len({value for value in values if value is not None}) <= most
    assert column.counts.min() > 0
    assert column.counts.sum() == sum(value is not None for value in values)
    for value, code in zip(values, column.codes, strict=True):
        assert (code == ABSENT) == (value is None)
        if value is not None:
            cell = column.cells[code]
            assert cell[0] <= value <= cell[1] if isinstance(cell, tuple) else cell == value
    ends = [cell if isinstance(cell, tuple) else (cell, cell) for cell in column.cells]
    assert all(before[1] < after[0] for before, after in pairwise(ends))  # type: ignore[operator]


def test_ranges_have_about_as_many_candidates_each() -> None:
    (column,) = columns_of([{"x": float(value)} for value in range(100)], 4)
    assert column.counts.tolist() == pytest.approx([25] * 4, abs=1)
    assert column.texts[0] == "0 to 24"


def test_texts_are_never_ranges() -> None:
    (column,) = columns_of([{"x": f"v{value}"} for value in range(20)], 4)
    assert len(column.cells) == 20
    (mixed,) = columns_of([{"x": True}, {"x": "late"}, {"x": 0.25}])
    assert mixed.texts == ("0.25", "True", "late")
