"""Borders: what two blocks in a row take less, or more, than each alone.

Alone a block pays for the call, and for bringing its input and output into the runtime's own layout of channels; inside
a network it pays for that only where the neighbour uses another. On one AVX-512 machine that was up to half of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from search.device.local_choices import ColumnsOf, Local, TimedPiece
from search.device.timing import Floats

if TYPE_CHECKING:
    from ofa.supernet import Supernet


@dataclass(frozen=True)
class Border:
    """Between two blocks: ms by the values of the choices that reach into both, and their mean for other values."""

    columns: tuple[int, ...]
    known: Mapping[Local, float]

    @property
    def mean(self) -> float:
        """The mean over what is known, in ms."""
        return float(np.mean(list(self.known.values())))


Borders = Mapping[tuple[str, str], Border]  # by the names of both blocks


def borders_of(
    supernet: Supernet, pairs: Sequence[TimedPiece], alone: Callable[[str, Local], float | None]
) -> dict[tuple[str, str], Border]:
    """Returns the borders that timed pairs show: each pair's ms less those of its blocks `alone`."""
    if not pairs:
        return {}
    columns = ColumnsOf(supernet)
    found: dict[tuple[str, str], dict[Local, float]] = {}
    for pair in pairs:
        for name, local in pair.places:
            first, second = name.split("+")
            values = dict(zip(columns[name], local, strict=True))
            times = [alone(part, tuple(values[column] for column in columns[part])) for part in (first, second)]
            if times[0] is not None and times[1] is not None:
                across = tuple(values[column] for column in columns.across(first, second))
                found.setdefault((first, second), {})[across] = pair.ms - times[0] - times[1]
    return {
        (first, second): Border(tuple(columns.across(first, second)), known) for (first, second), known in found.items()
    }


def border_sums(
    supernet: Supernet,
    borders: Borders,
    names: Sequence[str],
    present: np.ndarray[Any, np.dtype[np.bool_]],
    encoded: np.ndarray[Any, np.dtype[np.int64]],
) -> Floats:
    """Returns ms (archs,): the borders of each Arch, added up.

    Args:
        names: of the blocks, in order.
        present: bool (blocks, archs), whether an Arch has the block.
        encoded: int64 (archs, choices), the Archs.
    """
    total = np.zeros(encoded.shape[0])
    if not borders:
        return total
    numbers = np.where(present, np.arange(len(names))[:, None], -1)
    before = np.maximum.accumulate(np.vstack([np.full((1, len(total)), -1), numbers[:-1]]), axis=0)
    into: dict[str, list[float]] = {}
    for (_, second), border in borders.items():
        into.setdefault(second, []).append(border.mean)
    for number, second in enumerate(names):
        for other in np.unique(before[number, present[number]]):
            rows = np.flatnonzero(present[number] & (before[number] == other))
            found = borders.get((names[other], second)) if other >= 0 else None
            if found is None:  # a neighbour that no pair was timed with: as with its other neighbours
                total[rows] += float(np.mean(into[second])) if other >= 0 and second in into else 0.0
                continue
            local = encoded[rows][:, list(found.columns)]
            values, inverse = np.unique(local, axis=0, return_inverse=True)
            known = np.array([found.known.get(tuple(value.tolist()), found.mean) for value in values])
            total[rows] += known[inverse.reshape(-1)]
    return total
