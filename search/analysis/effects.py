"""Effects: mean accuracy by the value of one setting, all else adjusted for, and which values differ."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from search.analysis.adjusted import Fit, Floats, adjusted_fit
from search.analysis.columns import Column

CONFIDENCE = 0.95
LEAST_IN_CELL = 4  # candidates; a value that was tried less often is not compared


@dataclass(frozen=True)
class Difference:
    """By how much the mean of cell `high` is above that of cell `low`, with an interval, all fractions."""

    high: int
    low: int
    mean: float
    least: float
    most: float

    @property
    def is_seen(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.least > 0


@dataclass(frozen=True)
class Effect:
    """What one setting does to the accuracy, over the candidates in which it counts.

    Attributes:
        column: of the setting, over all candidates.
        compared: the cells with enough candidates, those that the rest is about.
        means, least, most: of each of these, adjusted accuracy with its 95 % interval, fractions.
        differences: of the best of them to each other one. All pairs hold together in 95 % of such searches.
        untold: why there are no means; empty where there are.
    """

    column: Column
    compared: tuple[int, ...]
    means: tuple[float, ...] = ()
    least: tuple[float, ...] = ()
    most: tuple[float, ...] = ()
    differences: tuple[Difference, ...] = ()
    untold: str = ""


def effect_of(column: Column, accuracy: Floats, others: Sequence[Column]) -> Effect:
    """Returns the Effect of one setting, without means where they cannot be told.

    Args:
        accuracy: (candidates,), fractions.
        others: what to adjust for; nothing that depends on this setting may be among them.
    """
    compared = tuple(int(cell) for cell in np.flatnonzero(column.counts >= LEAST_IN_CELL))
    rows = np.isin(column.codes, compared)
    if len(compared) < 2:
        return Effect(column, compared, untold=f"fewer than two values were tried {LEAST_IN_CELL} times or more")
    places = np.searchsorted(compared, column.codes[rows])
    design = (places[:, None] == np.arange(len(compared))).astype(np.float64)
    fit = adjusted_fit(accuracy[rows], design[:, 1:], among(others, rows))
    if fit is None:
        return Effect(column, compared, untold="it cannot be told from what else differs between these candidates")
    centre = np.eye(len(compared)) - design.mean(axis=0)  # each value against what was tried on average
    means, half = _estimates(fit, centre, 1 - CONFIDENCE)
    means = means + accuracy[rows].mean()
    return Effect(
        column, compared, tuple(means.tolist()), tuple((means - half).tolist()), tuple((means + half).tolist()),
        _differences(fit, means, compared),
    )  # fmt: skip


def among(columns: Sequence[Column], rows: Floats | Collection[bool]) -> list[Column]:
    """Returns columns over some of the candidates alone."""
    return [replace(column, codes=column.codes[np.asarray(rows)]) for column in columns]


def _differences(fit: Fit, means: Floats, compared: Sequence[int]) -> tuple[Difference, ...]:
    best = int(np.argmax(means))
    others = [place for place in np.argsort(-means, kind="stable").tolist() if place != best]
    contrasts = np.zeros((len(others), len(compared)))
    contrasts[:, best] = 1
    contrasts[range(len(others)), others] = -1
    pairs = len(list(combinations(compared, 2)))  # the best was looked for among them all: Bonferroni
    apart, half = _estimates(fit, contrasts, (1 - CONFIDENCE) / pairs)
    return tuple(
        Difference(compared[best], compared[other], float(mean), float(mean - side), float(mean + side))
        for other, mean, side in zip(others, apart, half, strict=True)
    )


def _estimates(fit: Fit, contrasts: Floats, error: float) -> tuple[Floats, Floats]:
    """Contrasts of all values, the first of which the fit has at 0, with half the width of their intervals."""
    from scipy.stats import t as student  # a slow import, needed here alone

    free = contrasts[:, 1:]
    deviation = np.sqrt(np.einsum("ij,jk,ik->i", free, fit.covariance, free))
    return free @ fit.coefficients, student.ppf(1 - error / 2, fit.freedom) * deviation
