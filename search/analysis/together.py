"""Together: schedule, starting weights and sparsity, and whether what one of them does depends on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from search.analysis.adjusted import Floats
from search.analysis.columns import ABSENT, Column, cell_text, columns_of
from search.analysis.effects import Effect, among, effect_of
from search.analysis.interaction import Interaction, interaction_of
from search.analysis.searched import INITIALIZER, SCHEDULE, SPARSITY, START, Searched, dependents, that_sets
from search.candidate import Setting

WEIGHTS = "starting weights"
RANGES = 3  # of sparsity, in which the others are compared
LEAST = 40  # candidates; tests of fewer find interactions that are not there


@dataclass(frozen=True)
class Within:
    """What a setting does among the candidates of one range of sparsity."""

    setting: str
    range: str
    candidates: int
    effect: Effect


@dataclass(frozen=True)
class Together:
    """The names of the settings that are searched, and what they do together.

    Attributes:
        start, initializer, schedule, sparsity: names; empty where a search does not decide that.
        within: starting weights and schedule, range of sparsity by range.
        interactions: of each two of starting weights, schedule and sparsity.
        untold: pairs that could not be tested.
    """

    start: str
    initializer: str
    schedule: str
    sparsity: str
    within: tuple[Within, ...]
    interactions: tuple[Interaction, ...]
    untold: tuple[tuple[str, str], ...]

    def weights(self, settings: Mapping[str, Setting]) -> str:
        """Returns what weights a candidate starts from, such as "inherit" or "fresh, lsuv"; empty if they are fixed."""
        return ", ".join(str(settings[name]) for name in (self.start, self.initializer) if name in settings)


def together_of(
    candidates: Sequence[Mapping[str, Setting]], accuracy: Floats, settings: Sequence[Searched]
) -> Together | None:
    """Returns what schedule, starting weights and sparsity do together; None where fewer than two of them are searched.

    Args:
        candidates: choices and settings by name, of those that were evaluated to the end.
        accuracy: of each, a fraction.
    """
    start, initializer, schedule, sparsity = (
        one.name if (one := that_sets(settings, key)) is not None else ""
        for key in (START, INITIALIZER, SCHEDULE, SPARSITY)
    )
    if sum(map(bool, (start or initializer, schedule, sparsity))) < 2:
        return None
    found = Together(start, initializer, schedule, sparsity, (), (), ())
    roles = _roles(found, candidates)
    hidden = {start, initializer, schedule, sparsity} | {
        name for one in (start, initializer, schedule, sparsity) for name in dependents(one, settings)
    }
    columns = columns_of(candidates)
    others = [column for column in columns if column.name not in hidden]
    finer = [column for column in columns if column.name == sparsity]  # than the ranges in which it is looked at
    rest = {one.name: finer if one.name == sparsity else [one] for one in roles}
    tested = {
        (one.name, other.name): interaction_of(one, other, accuracy, [*others, *_third(rest, one, other)])
        for one, other in combinations(roles, 2)
        if len(candidates) >= LEAST
    }
    seen = tuple(one for one in tested.values() if one is not None)
    untold = tuple(pair for pair, one in tested.items() if one is None)
    return Together(
        start, initializer, schedule, sparsity, _within(roles, sparsity, accuracy, [*others, *finer]), seen, untold
    )


def _roles(found: Together, candidates: Sequence[Mapping[str, Setting]]) -> list[Column]:
    """A column each of what is searched among starting weights, schedule and sparsity, the last in ranges."""
    made: list[Column] = []
    if found.start or found.initializer:
        made += columns_of([{WEIGHTS: text} if (text := found.weights(one)) else {} for one in candidates])
    for name, cells in ((found.schedule, len(candidates)), (found.sparsity, RANGES)):
        made += columns_of([{name: one[name]} if name in one else {} for one in candidates], cells) if name else ()
    return made


def _third(columns: Mapping[str, Sequence[Column]], one: Column, other: Column) -> list[Column]:
    """What is neither of the two."""
    return [column for name, own in columns.items() if name not in (one.name, other.name) for column in own]


def _within(roles: Sequence[Column], sparsity: str, accuracy: Floats, others: Sequence[Column]) -> tuple[Within, ...]:
    ranges = next((column for column in roles if column.name == sparsity), None)
    if ranges is None:
        return ()
    made = []
    for column in roles:
        for cell, values in enumerate(ranges.cells if column is not ranges else ()):
            rows = (ranges.codes == cell) & (column.codes != ABSENT)
            (own,) = among([column], rows)
            effect = effect_of(own, accuracy[rows], among(others, rows))
            made.append(Within(column.name, cell_text(values), int(np.sum(rows)), effect))
    return tuple(made)
