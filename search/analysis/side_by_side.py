"""Searches side by side: results after the same number of fine-tuned candidates, and their spread over repeats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from search.candidates.pareto import hypervolume, non_dominated
from search.run.scores import MetricFacts


@dataclass(frozen=True)
class TunedCandidate:
    """One candidate that was fine-tuned for `epochs`; `quality`, larger is better, is None if it stopped early."""

    quality: float | None
    latency_ms: float
    bytes: float
    epochs: int

    @property
    def costs(self) -> tuple[float, float, float]:
        """Lack of quality, latency and bytes: lower is better."""
        return 1 - (self.quality or 0.0), self.latency_ms, self.bytes


@dataclass(frozen=True)
class TunedSearch:
    """A search, the candidates that it fine-tuned, in order, and the metric that they are judged by."""

    name: str
    tuned: tuple[TunedCandidate, ...]
    metric: MetricFacts

    @property
    def finished(self) -> tuple[TunedCandidate, ...]:
        """The candidates that were fine-tuned to the end."""
        return tuple(tuned for tuned in self.tuned if tuned.quality is not None)

    @property
    def epochs(self) -> int:
        """The total number of epochs of fine-tuning."""
        return sum(tuned.epochs for tuned in self.tuned)


def at_equal_number(searches: Sequence[TunedSearch]) -> tuple[TunedSearch, ...]:
    """Returns the searches cut to the number of fine-tuned candidates of the shortest."""
    count = min(len(search.tuned) for search in searches)
    return tuple(replace(search, tuned=search.tuned[:count]) for search in searches)


def best_within(search: TunedSearch, latency_ms: float, size: float) -> float | None:
    """Returns the best quality that a search found within a latency and a number of bytes; None if there is none."""
    met = [tuned.quality or 0.0 for tuned in search.finished if tuned.latency_ms <= latency_ms and tuned.bytes <= size]
    return max(met, default=None)


def limits_of(searches: Sequence[TunedSearch], parts: int = 3) -> list[tuple[float, float]]:
    """Returns pairs of a latency and a number of bytes: limits that 1/parts, 2/parts ... and all of the finished
    candidates of all searches meet, each limit separately; rounded up to three digits.
    """
    costs = np.array([tuned.costs for search in searches for tuned in search.finished])
    shares = np.arange(1, parts + 1) / parts
    latency, size = (
        np.unique([_rounded_up(limit) for limit in np.quantile(costs[:, column], shares, method="inverted_cdf")])
        for column in (1, 2)
    )
    return [(float(ms), float(count)) for ms in latency for count in size]


def _rounded_up(value: float) -> float:
    step = 10.0 ** (math.floor(math.log10(value)) - 2) if value > 0 else 1.0
    return float(f"{math.ceil(value / step - 1e-9) * step:.12g}")


def volumes(searches: Sequence[TunedSearch]) -> list[list[float]]:
    """Returns the hypervolume of each search after each candidate, as a share of the box that the joint front spans
    from its best to its worst quality, latency and bytes; a figure that does not vary is left out.
    """
    costs = np.array([tuned.costs for search in searches for tuned in search.finished])
    costs = costs[non_dominated(costs)]  # a collapsed candidate would make the box too large
    low, high = costs.min(axis=0), costs.max(axis=0)
    varies = high > low
    grown = []
    for search in searches:
        front, shares, share = np.zeros((0, int(varies.sum()))), list[float](), 0.0
        for tuned in search.tuned:
            if tuned.quality is not None:
                point = ((np.array(tuned.costs) - low)[varies] / (high - low)[varies])[None]
                if (point < 1).all() and not (front <= point).all(axis=1).any():
                    front = np.concatenate([front, point])
                    front = front[non_dominated(front)]
                    share = hypervolume(front, [1.0] * front.shape[1])
            shares.append(share)
        grown.append(shares)
    return grown


Front = Sequence[tuple[float, float]]  # (latency in ms, quality) of non-dominated points


@dataclass(frozen=True)
class Spread:
    """A figure over repeats; `deviation` is the sample standard deviation, None for a single repeat."""

    mean: float
    deviation: float | None
    least: float
    most: float


@dataclass(frozen=True)
class Band:
    """The quality that is reached within a latency, over repeats: one value per step of any front."""

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
    """Returns the quality, larger is better, that the fronts reach within each latency: least, mean and most.

    It begins where every front has a point, and ends at `end_ms`, or at the last step of any front if that is later.
    Each front is the step function of its attainment (da Fonseca, Fonseca, Hall 2001), so none is interpolated.
    """
    steps = [np.asarray(sorted(front), dtype=np.float64) for front in fronts if len(front)]
    if not steps:
        return Band((), (), (), ())
    begin = max(step[0, 0] for step in steps)
    ms = np.unique(np.concatenate([[end_ms], *(step[:, 0] for step in steps)]))
    ms = ms[ms >= begin]
    reached = np.array(
        [np.maximum.accumulate(step[:, 1])[np.searchsorted(step[:, 0], ms, side="right") - 1] for step in steps]
    )
    least, mean, most = reached.min(axis=0), reached.mean(axis=0), reached.max(axis=0)
    return Band(tuple(ms.tolist()), tuple(least.tolist()), tuple(mean.tolist()), tuple(most.tolist()))
