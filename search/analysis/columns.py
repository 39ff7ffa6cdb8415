"""Columns: the choices and settings of candidates as cells, a value or a range of numbers each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.candidate import Setting
from search.importance import by_size

Integers = np.ndarray[Any, np.dtype[np.int64]]
ABSENT = -1
MOST_CELLS = 8


@dataclass(frozen=True)
class Column:
    """One choice or setting over candidates.

    Attributes:
        cells: the values in order, or ranges of numbers as (least, most) tried.
        codes: int64 (candidates,), the cell of each; `ABSENT` where it does not count.
    """

    name: str
    cells: tuple[Setting | tuple[float, float], ...]
    codes: Integers

    @property
    def counts(self) -> Integers:
        """int64 (cells,): how many candidates are in each."""
        return np.bincount(self.codes[self.codes != ABSENT], minlength=len(self.cells)).astype(np.int64)

    @property
    def texts(self) -> tuple[str, ...]:
        """The cells in words."""
        return tuple(cell_text(cell) for cell in self.cells)


def columns_of(candidates: Sequence[Mapping[str, Setting]], most_cells: int = MOST_CELLS) -> tuple[Column, ...]:
    """Returns a Column a name, in the order in which names come; what does not count in a candidate is missing there.

    Up to `most_cells` different values are a cell each. More of them are ranges with about as many candidates in each.
    """
    names = dict.fromkeys(name for values in candidates for name in values)
    return tuple(_column(name, [values.get(name) for values in candidates], most_cells) for name in names)


def cell_text(cell: Setting | tuple[float, float]) -> str:
    """Returns a value, or a range as "0.2 to 0.35"."""
    if isinstance(cell, tuple):
        ends = dict.fromkeys(f"{end:.3g}" for end in cell)
        return " to ".join(ends)
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)


def in_order(values: Sequence[Setting]) -> list[Setting]:
    """Returns the different ones among `values`: numbers by size, then texts."""
    return sorted(set(values), key=by_size)


def _column(name: str, values: Sequence[Setting | None], most_cells: int) -> Column:
    tried = [value for value in values if value is not None]
    distinct = in_order(tried)
    if len(distinct) <= most_cells or any(isinstance(value, str) for value in distinct):
        code = {value: number for number, value in enumerate(distinct)}
        codes = [ABSENT if value is None else code[value] for value in values]
        return Column(name, tuple(distinct), np.array(codes, dtype=np.int64))
    numbers = np.array([float(value) for value in tried])
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, most_cells + 1)[1:-1], method="higher"))
    edges = edges[edges > numbers.min()]  # an edge is the least value of the cell above it
    placed = np.searchsorted(edges, numbers, side="right")
    ranges = tuple(
        (float(numbers[placed == cell].min()), float(numbers[placed == cell].max())) for cell in range(len(edges) + 1)
    )
    every = np.full(len(values), ABSENT, dtype=np.int64)
    every[[value is not None for value in values]] = placed
    return Column(name, ranges, every)
