"""Interactions: whether what one setting does to the accuracy depends on another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.analysis.adjusted import Floats, adjusted_fit, one_hot
from search.analysis.columns import ABSENT, Column
from search.analysis.effects import LEAST_IN_CELL, among


@dataclass(frozen=True)
class Interaction:
    """Two settings, and how likely a pattern at least as strong would come up were there no interaction (p)."""

    first: str
    second: str
    candidates: int
    chance: float


def interaction_of(first: Column, second: Column, accuracy: Floats, others: Sequence[Column]) -> Interaction | None:
    """Returns the Interaction of two settings over the candidates in which both count; None where too few combinations
    were tried to see any, or where the others leave nothing to see it by.

    A Wald test that the coefficients of the products are 0 beside those of either alone, as an F test, since the
    covariance is estimated (Wooldridge 2010, "Econometric analysis of cross section and panel data", section 4.2.3).

    Args:
        accuracy: (candidates,), fractions.
        others: what to adjust for; nothing that depends on either setting may be among them.
    """
    from scipy.stats import f as fisher  # a slow import, needed here alone

    rows = (first.codes != ABSENT) & (second.codes != ABSENT)
    if not rows.any():
        return None
    alone, products = _design(*among([first, second], rows))
    if not products.shape[1]:
        return None
    fit = adjusted_fit(accuracy[rows], np.concatenate([alone, products], axis=1), among(others, rows))
    if fit is None:
        return None
    place = slice(alone.shape[1], None)
    strength = fit.coefficients[place] @ np.linalg.solve(fit.covariance[place, place], fit.coefficients[place])
    count = products.shape[1]
    return Interaction(first.name, second.name, int(rows.sum()), float(fisher.sf(strength / count, count, fit.freedom)))


def _design(first: Column, second: Column) -> tuple[Floats, Floats]:
    """Indicators of the cells of either, and products of them that are often enough 1 and are no sum of the rest."""
    sides = [one_hot([column], len(column.codes))[:, column.counts > 0] for column in (first, second)]
    alone = np.concatenate([side[:, 1:] for side in sides], axis=1)
    kept, rank = np.concatenate([np.ones((len(alone), 1)), alone], axis=1), 1 + alone.shape[1]
    for one in sides[0][:, 1:].T:
        for other in sides[1][:, 1:].T:
            wider = np.concatenate([kept, (one * other)[:, None]], axis=1)
            if (one * other).sum() >= LEAST_IN_CELL and np.linalg.matrix_rank(wider) > rank:
                kept, rank = wider, rank + 1
    return alone, kept[:, 1 + alone.shape[1] :]
