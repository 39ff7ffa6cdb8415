"""Searches side by side: what each had reached once all had fine-tuned the same number of candidates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from search.pareto import hypervolume, non_dominated


@dataclass(frozen=True)
class Tuned:
    """One candidate that was fine-tuned for `epochs`; `accuracy`, a fraction, is None where it was given up early."""

    accuracy: float | None
    latency_ms: float
    bytes: float
    epochs: int

    @property
    def costs(self) -> tuple[float, float, float]:
        """Error, latency and bytes: lower is better."""
        return 1 - (self.accuracy or 0.0), self.latency_ms, self.bytes


@dataclass(frozen=True)
class TunedSearch:
    """A search and the candidates that it fine-tuned, in order."""

    name: str
    tuned: tuple[Tuned, ...]

    @property
    def finished(self) -> tuple[Tuned, ...]:
        """Those that were fine-tuned to the end."""
        return tuple(one for one in self.tuned if one.accuracy is not None)

    @property
    def epochs(self) -> int:
        """All epochs of fine-tuning."""
        return sum(one.epochs for one in self.tuned)


def at_equal_number(searches: Sequence[TunedSearch]) -> tuple[TunedSearch, ...]:
    """Returns the searches as they were after as many fine-tuned candidates as the shortest of them has."""
    count = min(len(search.tuned) for search in searches)
    return tuple(replace(search, tuned=search.tuned[:count]) for search in searches)


def best_within(search: TunedSearch, latency_ms: float, size: float) -> float | None:
    """Returns the best accuracy that a search found within a latency and a number of bytes; None where it has none."""
    met = [one.accuracy or 0.0 for one in search.finished if one.latency_ms <= latency_ms and one.bytes <= size]
    return max(met, default=None)


def limits_of(searches: Sequence[TunedSearch], parts: int = 3) -> list[tuple[float, float]]:
    """Returns pairs of a latency and a number of bytes: limits that 1/parts, 2/parts ... and all of the finished
    candidates of all searches meet, each by itself; rounded up to three digits.
    """
    every = np.array([one.costs for search in searches for one in search.finished])
    shares = np.arange(1, parts + 1) / parts
    latency, size = (
        np.unique([_rounded_up(limit) for limit in np.quantile(every[:, column], shares, method="inverted_cdf")])
        for column in (1, 2)
    )
    return [(float(ms), float(count)) for ms in latency for count in size]


def _rounded_up(value: float) -> float:
    step = 10.0 ** (math.floor(math.log10(value)) - 2) if value > 0 else 1.0
    return float(f"{math.ceil(value / step - 1e-9) * step:.12g}")


def volumes(searches: Sequence[TunedSearch]) -> list[list[float]]:
    """Returns what each search dominates after each candidate, as a share of the box that the front of all of them
    spans, from its best to its worst error, latency and bytes; a figure that is the same everywhere does not count.
    """
    every = np.array([one.costs for search in searches for one in search.finished])
    every = every[non_dominated(every)]  # without the rest: one that collapsed would make the box of errors too large
    low, high = every.min(axis=0), every.max(axis=0)
    varies = high > low
    grown = []
    for search in searches:
        front, shares, share = np.zeros((0, int(varies.sum()))), list[float](), 0.0
        for one in search.tuned:
            if one.accuracy is not None:
                place = ((np.array(one.costs) - low)[varies] / (high - low)[varies])[None]
                if (place < 1).all() and not (front <= place).all(axis=1).any():
                    front = np.concatenate([front, place])
                    front = front[non_dominated(front)]
                    share = hypervolume(front, [1.0] * front.shape[1])
            shares.append(share)
        grown.append(shares)
    return grown
