"""Analysis of one search: what decides the accuracy of its candidates, and what each setting does to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from search.analysis.adjusted import Floats
from search.analysis.columns import columns_of
from search.analysis.decisive import Decisive, decisive
from search.analysis.effects import Effect, effect_of
from search.analysis.searched import Searched, dependents
from search.analysis.together import Together, together_of
from search.candidate import Setting
from search.importance import importances

LEAST = 20  # candidates; shares of fewer are noise
RANGES = 4  # of a number's values, in which it is compared


@dataclass(frozen=True)
class Analysis:
    """What the candidates of a search say that were evaluated to the end.

    Attributes:
        candidates: how many they are.
        given_up: others, whose accuracies are of less training and therefore left out.
        decisive: None where they are too few, or all alike.
        permuted: the share of each choice by permutation importance, see `search.importance`.
        settings: what was searched beside the Arch.
        effects: of each of them that any candidate has.
        together: schedule, starting weights and sparsity; None where fewer than two of them are searched.
    """

    candidates: int
    given_up: int
    decisive: Decisive | None
    permuted: Mapping[str, float]
    settings: tuple[Searched, ...] = ()
    effects: Mapping[str, Effect] = field(default_factory=dict)
    together: Together | None = None


def analyse(
    archs: Sequence[Mapping[str, int]],
    settings: Sequence[Mapping[str, Setting]],
    accuracy: Sequence[float],
    searched: Sequence[Searched] = (),
    given_up: int = 0,
) -> Analysis:
    """Returns the Analysis of candidates: their choices, settings and accuracies (fractions), in the same order."""
    candidates = [{**arch, **own} for arch, own in zip(archs, settings, strict=True)]
    reached = np.asarray(accuracy, dtype=np.float64)
    enough = len(candidates) >= LEAST
    tried = {name for own in settings for name in own}
    found = decisive(candidates, accuracy) if enough else None
    return Analysis(
        candidates=len(candidates),
        given_up=given_up,
        decisive=found,
        permuted=importances(candidates, accuracy) if found is not None else {},
        settings=tuple(searched),
        effects={one.name: _effect(one, candidates, reached, searched) for one in searched if one.name in tried},
        together=together_of(candidates, reached, searched) if candidates else None,
    )


def _effect(
    setting: Searched, candidates: Sequence[Mapping[str, Setting]], reached: Floats, searched: Sequence[Searched]
) -> Effect:
    hidden = dependents(setting.name, searched) | {setting.name}
    own = columns_of([{setting.name: one[setting.name]} if setting.name in one else {} for one in candidates], RANGES)
    others = [column for column in columns_of(candidates) if column.name not in hidden]
    return effect_of(own[0], reached, others)
