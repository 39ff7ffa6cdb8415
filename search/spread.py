"""What repeats of one experiment with other seeds come to: mean, spread, and fronts laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Front = Sequence[tuple[float, float]]  # (latency in ms, accuracy) of points that beat each other in nothing


@dataclass(frozen=True)
class Spread:
    """A figure over repeats; `deviation` is the sample standard deviation, None of a single repeat."""

    mean: float
    deviation: float | None
    least: float
    most: float


@dataclass(frozen=True)
class Band:
    """The accuracy that is reached within a latency, over repeats: one value a step of any of their fronts."""

    ms: tuple[float, ...]
    least: tuple[float, ...]
    mean: tuple[float, ...]
    most: tuple[float, ...]


def spread(values: Sequence[float]) -> Spread | None:
    """Returns mean, sample standard deviation and extremes of `values`; None without any."""
    if not len(values):
        return None
    array = np.asarray(values, dtype=np.float64)
    deviation = float(array.std(ddof=1)) if len(array) > 1 else None
    return Spread(float(array.mean()), deviation, float(array.min()), float(array.max()))


def band(fronts: Sequence[Front], end_ms: float = 0.0) -> Band:
    """Returns what accuracy the fronts reach within each latency: least, mean and most of all of them.

    It begins where every front has reached something, and ends at `end_ms`, or where the last one makes its last step
    if that is later. Each front is the step function of its attainment (da Fonseca, Fonseca, Hall 2001), so none is
    interpolated.
    """
    steps = [np.asarray(sorted(front), dtype=np.float64) for front in fronts if len(front)]
    if not steps:
        return Band((), (), (), ())
    begin = max(one[0, 0] for one in steps)
    ms = np.unique(np.concatenate([[end_ms], *(one[:, 0] for one in steps)]))
    ms = ms[ms >= begin]
    reached = np.array(
        [np.maximum.accumulate(one[:, 1])[np.searchsorted(one[:, 0], ms, side="right") - 1] for one in steps]
    )
    least, mean, most = reached.min(axis=0), reached.mean(axis=0), reached.max(axis=0)
    return Band(tuple(ms.tolist()), tuple(least.tolist()), tuple(mean.tolist()), tuple(most.tolist()))
