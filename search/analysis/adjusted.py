"""Adjusted fits: what some columns do to a target, with what all others do to both taken out first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.analysis.columns import Column

Floats = np.ndarray[Any, np.dtype[np.float64]]
PENALTIES = np.logspace(-3, 5, 25)
LEAST_LEFT = 0.02  # of the design's variance that the others must not explain: with less nothing tells it from them


@dataclass(frozen=True)
class Fit:
    """Coefficients (k,), their covariance (k, k) and the degrees of freedom that are left."""

    coefficients: Floats
    covariance: Floats
    freedom: int


def adjusted_fit(target: Floats, design: Floats, others: Sequence[Column]) -> Fit | None:
    """Returns the least-squares Fit of `target` (n,) on `design` (n, k) beside `others`; None where they hide it.

    Target and design are first predicted from the others, each candidate by a ridge regression without it, and what
    is left of them is regressed. Source: the partially linear model of Robinson 1988 with the held-out predictions
    of Chernozhukov et al. 2018 (1608.00060, eq. 1.5); covariance HC3 of MacKinnon and White 1985.
    """
    rows = one_hot(others, len(target))
    left, wanted = _unexplained(design, rows), _unexplained(target[:, None], rows)[:, 0]
    freedom = len(target) - design.shape[1] - 1
    if freedom < 1 or _share_left(left, design) < LEAST_LEFT:
        return None
    inverse = np.linalg.inv(left.T @ left)
    coefficients = inverse @ left.T @ wanted
    leverage = np.clip(np.einsum("ij,jk,ik->i", left, inverse, left), 0, 0.99)
    weights = ((wanted - left @ coefficients) / (1 - leverage)) ** 2
    return Fit(coefficients, inverse @ (left.T * weights) @ left @ inverse, freedom)


def one_hot(columns: Sequence[Column], count: int) -> Floats:
    """Returns float64 (count, all cells), 1 where a candidate is in a cell; all 0 in a column that does not count."""
    parts = [column.codes[:, None] == np.arange(len(column.cells)) for column in columns]
    return np.concatenate([np.zeros((count, 0)), *parts], axis=1).astype(np.float64)


def _share_left(left: Floats, design: Floats) -> float:
    """Of the variance of that combination of the design's columns which the others explain best, the share that is
    left; 0 where the design itself does not vary in some direction.
    """
    centred = design - design.mean(axis=0)
    _, sizes, rotation = np.linalg.svd(centred, full_matrices=False)
    if sizes[-1] <= 1e-9 * max(sizes[0], 1):
        return 0.0
    return float(np.linalg.svd(left @ rotation.T / sizes, compute_uv=False)[-1] ** 2)


def _unexplained(targets: Floats, rows: Floats) -> Floats:
    """Each column of `targets` (n, k) less what a ridge regression on `rows` says that was fitted without the row.

    The penalty is the one that says it best. Leaving one out needs no second fit: a residual over 1 - leverage.
    """
    u, sizes, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    centred = targets - targets.mean(axis=0)
    along, spread = u.T @ centred, u**2
    best, least = centred, np.full(targets.shape[1], np.inf)
    for penalty in PENALTIES:
        kept = sizes**2 / (sizes**2 + penalty)
        leverage = 1 / len(rows) + spread @ kept
        residuals = (centred - u @ (kept[:, None] * along)) / np.maximum(1 - leverage, 1e-6)[:, None]
        errors = (residuals**2).sum(axis=0)
        best, least = np.where(errors < least, residuals, best), np.minimum(errors, least)
    return np.asarray(best, dtype=np.float64)
