"""Columns: the choices and settings of candidates as cells, and their permutation importance for a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ofa.records import Object
from search.run.cards import Setting

START = "search.tuning.start"

INITIALIZER = "initializer"

SCHEDULE = "prune.schedule"

SPARSITY = "prune.sparsity"

Integers = np.ndarray[Any, np.dtype[np.int64]]

ABSENT = -1

MOST_CELLS = 8


@dataclass(frozen=True)
class Searched:
    """One setting: its name, the keys of the configuration that it sets, the values of others under which it is
    active, and whether its numbers are on a logarithmic scale.
    """

    name: str
    sets: tuple[str, ...] = ()
    when: tuple[tuple[str, tuple[Setting, ...]], ...] = ()
    log: bool = False


def searched_settings(config: Object, names: Sequence[str]) -> tuple[Searched, ...]:
    """Returns a Searched for each of `names`, in the order of `search.parameters`; one missing there has no keys.

    Args:
        config: the configuration of the search, from its stamp.
        names: the settings of its candidates.
    """
    entries = _mapping(_mapping(config.get("search")).get("parameters"))
    ordered = sorted(names, key=lambda name: list(entries).index(name) if name in entries else len(entries))
    return tuple(_searched(name, _mapping(entries.get(name))) for name in ordered)


def that_sets(settings: Sequence[Searched], key: str) -> Searched | None:
    """Returns the setting that decides the key, under any name; None if none does."""
    return next((setting for setting in settings if key in setting.sets), None)


def dependents(name: str, settings: Sequence[Searched]) -> frozenset[str]:
    """Returns the settings whose activity depends on that one, directly or through others."""
    dependent = {name}
    while more := {
        setting.name
        for setting in settings
        if setting.name not in dependent and any(on in dependent for on, _ in setting.when)
    }:
        dependent |= more
    return frozenset(dependent - {name})


def _searched(name: str, entry: Object) -> Searched:
    when = tuple((str(other), tuple(_listed(values))) for other, values in _mapping(entry.get("when")).items())
    return Searched(name, tuple(map(str, _listed(entry.get("sets")))), when, bool(entry.get("log")))


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _mapping(value: Any) -> Object:
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Column:
    """One choice or setting over candidates.

    Attributes:
        cells: the values in order, or ranges of numbers as (least, most) of the tried values.
        codes: int64 (candidates,), the cell of each; `ABSENT` where the column is inactive.
    """

    name: str
    cells: tuple[Setting | tuple[float, float], ...]
    codes: Integers

    @property
    def counts(self) -> Integers:
        """The number of candidates in each cell, int64 (cells,)."""
        return np.bincount(self.codes[self.codes != ABSENT], minlength=len(self.cells)).astype(np.int64)

    @property
    def texts(self) -> tuple[str, ...]:
        """The labels of the cells."""
        return tuple(cell_text(cell) for cell in self.cells)


def columns_of(candidates: Sequence[Mapping[str, Setting]], most_cells: int = MOST_CELLS) -> tuple[Column, ...]:
    """Returns one Column per name, in order of appearance; inactive settings are missing from a candidate.

    Up to `most_cells` distinct values are one cell each; more become ranges with about equally many candidates.
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
    """Returns the distinct `values`: numbers by size, then texts."""
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
    codes_of_all = np.full(len(values), ABSENT, dtype=np.int64)
    codes_of_all[[value is not None for value in values]] = placed
    return Column(name, ranges, codes_of_all)


Floats = np.ndarray[Any, np.dtype[np.float64]]


def by_size(value: Setting) -> tuple[bool, float, str]:
    """Returns the key by which values are sorted: numbers by size, then texts."""
    return (True, 0.0, value) if isinstance(value, str) else (False, float(value), "")
