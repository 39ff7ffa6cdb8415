"""Mean quality by the value of one setting, adjusted for all others, and which values differ."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from search.analysis.columns import Column

Floats = np.ndarray[Any, np.dtype[np.float64]]
PENALTIES = np.logspace(-3, 5, 25)
LEAST_LEFT = 0.02  # share of the design's variance that the others must leave unexplained to separate it from them
CONFIDENCE = 0.95
LEAST_IN_CELL = 4  # candidates; values tried less often are not compared


@dataclass(frozen=True)
class Fit:
    """Coefficients (k,), their covariance (k, k) and the residual degrees of freedom."""

    coefficients: Floats
    covariance: Floats
    freedom: int


def adjusted_fit(target: Floats, design: Floats, others: Sequence[Column]) -> Fit | None:
    """Returns the least-squares Fit of `target` (n,) on `design` (n, k) beside `others`; None if confounded.

    Target and design are first predicted from the others, each candidate by a ridge regression without it; then the
    residuals are regressed. Source: the partially linear model of Robinson 1988 with the held-out predictions
    of Chernozhukov et al. 2018 (1608.00060, eq. 1.5); covariance HC3 of MacKinnon and White 1985.
    """
    rows = one_hot(others, len(target))
    residual_design, residual_target = _unexplained(design, rows), _unexplained(target[:, None], rows)[:, 0]
    freedom = len(target) - design.shape[1] - 1
    if freedom < 1 or _share_left(residual_design, design) < LEAST_LEFT:
        return None
    inverse = np.linalg.inv(residual_design.T @ residual_design)
    coefficients = inverse @ residual_design.T @ residual_target
    leverage = np.clip(np.einsum("ij,jk,ik->i", residual_design, inverse, residual_design), 0, 0.99)
    weights = ((residual_target - residual_design @ coefficients) / (1 - leverage)) ** 2
    return Fit(coefficients, inverse @ (residual_design.T * weights) @ residual_design @ inverse, freedom)


def one_hot(columns: Sequence[Column], count: int) -> Floats:
    """Returns float64 (count, all cells), 1 where a candidate is in a cell; all 0 in an inactive column."""
    parts = [column.codes[:, None] == np.arange(len(column.cells)) for column in columns]
    return np.concatenate([np.zeros((count, 0)), *parts], axis=1).astype(np.float64)


def _share_left(residual: Floats, design: Floats) -> float:
    """The unexplained share of variance of the combination of the design's columns that the others explain best; 0 if
    the design itself does not vary in some direction.
    """
    centered = design - design.mean(axis=0)
    _, sizes, rotation = np.linalg.svd(centered, full_matrices=False)
    if sizes[-1] <= 1e-9 * max(sizes[0], 1):
        return 0.0
    return float(np.linalg.svd(residual @ rotation.T / sizes, compute_uv=False)[-1] ** 2)


def _unexplained(targets: Floats, rows: Floats) -> Floats:
    """Leave-one-out residuals of each column of `targets` (n, k) under a ridge regression on `rows`.

    The penalty is the best one for each column. Leaving a row out needs no second fit: residual / (1 - leverage).
    """
    u, sizes, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    centered = targets - targets.mean(axis=0)
    projections, spread = u.T @ centered, u**2
    best, least = centered, np.full(targets.shape[1], np.inf)
    for penalty in PENALTIES:
        shrinkage = sizes**2 / (sizes**2 + penalty)
        leverage = 1 / len(rows) + spread @ shrinkage
        residuals = (centered - u @ (shrinkage[:, None] * projections)) / np.maximum(1 - leverage, 1e-6)[:, None]
        errors = (residuals**2).sum(axis=0)
        best, least = np.where(errors < least, residuals, best), np.minimum(errors, least)
    return np.asarray(best, dtype=np.float64)


@dataclass(frozen=True)
class Difference:
    """The mean of cell `high` less that of cell `low`, with an interval."""

    high: int
    low: int
    mean: float
    least: float
    most: float

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.least > 0


@dataclass(frozen=True)
class Effect:
    """The effect of one setting on the quality, over the candidates in which it is active.

    Attributes:
        column: the column of the setting, over all candidates.
        compared: the cells with enough candidates, to which the other attributes refer.
        means, least, most: adjusted quality of each compared cell with its 95 % interval.
        differences: from the best cell to each other one. All pairs hold together in 95 % of such searches.
        not_compared: why there are no means; empty if there are.
    """

    column: Column
    compared: tuple[int, ...]
    means: tuple[float, ...] = ()
    least: tuple[float, ...] = ()
    most: tuple[float, ...] = ()
    differences: tuple[Difference, ...] = ()
    not_compared: str = ""


def effect_of(column: Column, quality: Floats, others: Sequence[Column]) -> Effect:
    """Returns the Effect of one setting, without means if they cannot be estimated.

    Args:
        quality: (candidates,), larger is better.
        others: columns to adjust for; none may depend on this setting.
    """
    compared = tuple(int(cell) for cell in np.flatnonzero(column.counts >= LEAST_IN_CELL))
    rows = np.isin(column.codes, compared)
    if len(compared) < 2:
        return Effect(column, compared, not_compared=f"fewer than two values were tried {LEAST_IN_CELL} times or more")
    cells = np.searchsorted(compared, column.codes[rows])
    design = (cells[:, None] == np.arange(len(compared))).astype(np.float64)
    fit = adjusted_fit(quality[rows], design[:, 1:], among(others, rows))
    if fit is None:
        return Effect(
            column, compared, not_compared="it cannot be separated from other differences between these candidates"
        )
    centering = np.eye(len(compared)) - design.mean(axis=0)  # each value against the average candidate
    means, half = _estimates(fit, centering, 1 - CONFIDENCE)
    means = means + quality[rows].mean()
    return Effect(
        column, compared, tuple(means.tolist()), tuple((means - half).tolist()), tuple((means + half).tolist()),
        _differences(fit, means, compared),
    )  # fmt: skip


def among(columns: Sequence[Column], rows: Floats | Collection[bool]) -> list[Column]:
    """Returns the columns restricted to some candidates."""
    return [replace(column, codes=column.codes[np.asarray(rows)]) for column in columns]


def _differences(fit: Fit, means: Floats, compared: Sequence[int]) -> tuple[Difference, ...]:
    best = int(np.argmax(means))
    others = [index for index in np.argsort(-means, kind="stable").tolist() if index != best]
    contrasts = np.zeros((len(others), len(compared)))
    contrasts[:, best] = 1
    contrasts[range(len(others)), others] = -1
    pairs = len(list(combinations(compared, 2)))  # the best was selected among all: Bonferroni
    gaps, half = _estimates(fit, contrasts, (1 - CONFIDENCE) / pairs)
    return tuple(
        Difference(compared[best], compared[other], float(mean), float(mean - side), float(mean + side))
        for other, mean, side in zip(others, gaps, half, strict=True)
    )


def _estimates(fit: Fit, contrasts: Floats, error: float) -> tuple[Floats, Floats]:
    """Contrasts of all values, with the first as the baseline of the fit, and half the width of their intervals."""
    from scipy.stats import t as student  # a slow import, only needed here

    free = contrasts[:, 1:]
    deviation = np.sqrt(np.einsum("ij,jk,ik->i", free, fit.covariance, free))
    return free @ fit.coefficients, student.ppf(1 - error / 2, fit.freedom) * deviation
