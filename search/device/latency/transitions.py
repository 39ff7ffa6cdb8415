"""Transitions: how much less, or more, two consecutive blocks take than each alone.

A block alone pays for the call, and for converting its input and output to the runtime's own layout of channels; inside
a network it pays for that only if its neighbor uses another. On one AVX-512 machine that was up to half of a block.
Two blocks take no less than the longer of them alone: what a noisy measurement says below that is not believed, so that
no network takes less than nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from search.device.latency.pieces import ColumnsOf, Local, TimedPiece
from search.device.timing import Floats

if TYPE_CHECKING:
    from ofa.supernet import Supernet


@dataclass(frozen=True)
class Transition:
    """Between two blocks: ms by the values of the choices that shape both, and their mean for other values."""

    columns: tuple[int, ...]
    known: Mapping[Local, float]

    @property
    def mean(self) -> float:
        """The mean over the known values, in ms."""
        return float(np.mean(list(self.known.values())))


Transitions = Mapping[tuple[str, str], Transition]  # by the names of both blocks


def transitions_of(
    supernet: Supernet, pairs: Sequence[TimedPiece], alone: Callable[[str, Local], float | None]
) -> dict[tuple[str, str], Transition]:
    """Returns the transitions of timed pairs: each pair's ms less the ms of its blocks `alone`."""
    if not pairs:
        return {}
    columns = ColumnsOf(supernet)
    by_pair: dict[tuple[str, str], dict[Local, float]] = {}
    for pair in pairs:
        for name, local in pair.places:
            first, second = name.split("+")
            values = dict(zip(columns[name], local, strict=True))
            times = [alone(part, tuple(values[column] for column in columns[part])) for part in (first, second)]
            if times[0] is not None and times[1] is not None:
                across = tuple(values[column] for column in columns.across(first, second))
                by_pair.setdefault((first, second), {})[across] = pair.ms - times[0] - times[1]
    return {
        (first, second): Transition(tuple(columns.across(first, second)), known)
        for (first, second), known in by_pair.items()
    }


def transition_sums(
    transitions: Transitions,
    names: Sequence[str],
    times: Floats,
    encoded: np.ndarray[Any, np.dtype[np.int64]],
) -> Floats:
    """Returns ms (archs,): the sum of each Arch's transitions.

    Args:
        names: the names of the blocks, in order.
        times: ms (blocks, archs) of each block alone, 0 where an Arch leaves it out.
        encoded: int64 (archs, choices), the Archs.
    """
    total = np.zeros(encoded.shape[0])
    if not transitions:
        return total
    present = times > 0
    numbers = np.where(present, np.arange(len(names))[:, None], -1)
    before = np.maximum.accumulate(np.vstack([np.full((1, len(total)), -1), numbers[:-1]]), axis=0)
    into: dict[str, list[float]] = {}
    for (_, second), transition in transitions.items():
        into.setdefault(second, []).append(transition.mean)
    for number, second in enumerate(names):
        for other in np.unique(before[number, present[number]]):
            if other < 0:
                continue
            rows = np.flatnonzero(present[number] & (before[number] == other))
            measured = transitions.get((names[other], second))
            if measured is None:  # not timed with this neighbor: the mean over its other neighbors
                difference = np.full(len(rows), np.mean(into[second]) if second in into else 0.0)
            else:
                local = encoded[rows][:, list(measured.columns)]
                values, inverse = np.unique(local, axis=0, return_inverse=True)
                known = np.array([measured.known.get(tuple(value.tolist()), measured.mean) for value in values])
                difference = known[inverse.reshape(-1)]
            total[rows] += np.maximum(difference, -np.minimum(times[other, rows], times[number, rows]))
    return total
