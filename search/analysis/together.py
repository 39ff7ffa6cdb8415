"""Interactions of schedule, starting weights and sparsity: whether the effect of one depends on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from search.analysis.columns import (
    ABSENT,
    INITIALIZER,
    SCHEDULE,
    SPARSITY,
    START,
    Column,
    Searched,
    cell_text,
    columns_of,
    dependents,
    that_sets,
)
from search.analysis.effects import LEAST_IN_CELL, Effect, Floats, adjusted_fit, among, effect_of, one_hot
from search.run.cards import Setting

WEIGHTS = "starting weights"
RANGES = 3  # ranges of sparsity within which the others are compared
LEAST = 40  # candidates; with fewer the tests find false interactions


@dataclass(frozen=True)
class Interaction:
    """Two settings, and the p-value of their interaction (`chance`)."""

    first: str
    second: str
    candidates: int
    chance: float


def interaction_of(first: Column, second: Column, quality: Floats, others: Sequence[Column]) -> Interaction | None:
    """Returns the Interaction of two settings over the candidates in which both are active; None if too few
    combinations were tried, or if it is confounded with the others.

    A Wald test that the coefficients of the products are 0 beside those of either alone, as an F test, since the
    covariance is estimated (Wooldridge 2010, "Econometric analysis of cross section and panel data", section 4.2.3).

    Args:
        quality: (candidates,), larger is better.
        others: columns to adjust for; none may depend on either setting.
    """
    from scipy.stats import f as fisher  # a slow import, only needed here

    rows = (first.codes != ABSENT) & (second.codes != ABSENT)
    if not rows.any():
        return None
    mains, products = _design(*among([first, second], rows))
    if not products.shape[1]:
        return None
    fit = adjusted_fit(quality[rows], np.concatenate([mains, products], axis=1), among(others, rows))
    if fit is None:
        return None
    product_indices = slice(mains.shape[1], None)
    strength = fit.coefficients[product_indices] @ np.linalg.solve(
        fit.covariance[product_indices, product_indices], fit.coefficients[product_indices]
    )
    count = products.shape[1]
    return Interaction(first.name, second.name, int(rows.sum()), float(fisher.sf(strength / count, count, fit.freedom)))


def _design(first: Column, second: Column) -> tuple[Floats, Floats]:
    """Indicators of the cells of either column, and their products that are common and linearly independent."""
    sides = [one_hot([column], len(column.codes))[:, column.counts > 0] for column in (first, second)]
    mains = np.concatenate([side[:, 1:] for side in sides], axis=1)
    basis, rank = np.concatenate([np.ones((len(mains), 1)), mains], axis=1), 1 + mains.shape[1]
    for first_cell in sides[0][:, 1:].T:
        for second_cell in sides[1][:, 1:].T:
            wider = np.concatenate([basis, (first_cell * second_cell)[:, None]], axis=1)
            if (first_cell * second_cell).sum() >= LEAST_IN_CELL and np.linalg.matrix_rank(wider) > rank:
                basis, rank = wider, rank + 1
    return mains, basis[:, 1 + mains.shape[1] :]


@dataclass(frozen=True)
class Within:
    """The effect of a setting among the candidates of one range of sparsity."""

    setting: str
    range: str
    candidates: int
    effect: Effect


@dataclass(frozen=True)
class Together:
    """The names of the searched settings, and their interactions.

    Attributes:
        start, initializer, schedule, sparsity: names; empty if not searched.
        within: effects of starting weights and schedule in each range of sparsity.
        interactions: of each two of starting weights, schedule and sparsity.
        untested: pairs that could not be tested.
    """

    start: str
    initializer: str
    schedule: str
    sparsity: str
    within: tuple[Within, ...]
    interactions: tuple[Interaction, ...]
    untested: tuple[tuple[str, str], ...]

    def weights(self, settings: Mapping[str, Setting]) -> str:
        """Returns the starting weights of a candidate, such as "inherit" or "fresh, lsuv"; empty if they are fixed."""
        return ", ".join(str(settings[name]) for name in (self.start, self.initializer) if name in settings)


def together_of(
    candidates: Sequence[Mapping[str, Setting]], quality: Floats, settings: Sequence[Searched]
) -> Together | None:
    """Returns the interactions of schedule, starting weights and sparsity; None if fewer than two are searched.

    Args:
        candidates: choices and settings by name, of those that were evaluated to the end.
        quality: of each, larger is better.
    """
    start, initializer, schedule, sparsity = (
        setting.name if (setting := that_sets(settings, key)) is not None else ""
        for key in (START, INITIALIZER, SCHEDULE, SPARSITY)
    )
    if sum(map(bool, (start or initializer, schedule, sparsity))) < 2:
        return None
    names = Together(start, initializer, schedule, sparsity, (), (), ())
    roles = _roles(names, candidates)
    hidden = {start, initializer, schedule, sparsity} | {
        dependent for name in (start, initializer, schedule, sparsity) for dependent in dependents(name, settings)
    }
    columns = columns_of(candidates)
    others = [column for column in columns if column.name not in hidden]
    finer = [column for column in columns if column.name == sparsity]  # not in ranges
    adjusting = {role.name: finer if role.name == sparsity else [role] for role in roles}
    tested = {
        (first.name, second.name): interaction_of(first, second, quality, [*others, *_third(adjusting, first, second)])
        for first, second in combinations(roles, 2)
        if len(candidates) >= LEAST
    }
    interactions = tuple(interaction for interaction in tested.values() if interaction is not None)
    untested = tuple(pair for pair, interaction in tested.items() if interaction is None)
    return Together(
        start,
        initializer,
        schedule,
        sparsity,
        _within(roles, sparsity, quality, [*others, *finer]),
        interactions,
        untested,
    )


def _roles(names: Together, candidates: Sequence[Mapping[str, Setting]]) -> list[Column]:
    """One column for each searched one of starting weights, schedule and sparsity, the last in ranges."""
    columns: list[Column] = []
    if names.start or names.initializer:
        columns += columns_of([{WEIGHTS: text} if (text := names.weights(values)) else {} for values in candidates])
    for name, cells in ((names.schedule, len(candidates)), (names.sparsity, RANGES)):
        columns += (
            columns_of([{name: values[name]} if name in values else {} for values in candidates], cells) if name else ()
        )
    return columns


def _third(columns: Mapping[str, Sequence[Column]], first: Column, second: Column) -> list[Column]:
    """The columns of the role that is neither of the two."""
    return [
        column
        for name, role_columns in columns.items()
        if name not in (first.name, second.name)
        for column in role_columns
    ]


def _within(roles: Sequence[Column], sparsity: str, quality: Floats, others: Sequence[Column]) -> tuple[Within, ...]:
    ranges = next((column for column in roles if column.name == sparsity), None)
    if ranges is None:
        return ()
    within = []
    for column in roles:
        for cell, values in enumerate(ranges.cells if column is not ranges else ()):
            rows = (ranges.codes == cell) & (column.codes != ABSENT)
            (restricted,) = among([column], rows)
            effect = effect_of(restricted, quality[rows], among(others, rows))
            within.append(Within(column.name, cell_text(values), int(np.sum(rows)), effect))
    return tuple(within)
