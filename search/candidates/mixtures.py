"""Mixtures: candidates of which some groups of layers compute in int8, and the others in float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ofa.precisions import Int8Layers, int8_layers, named_by
from search.candidates.figures import PRECISION, int8_groups
from search.candidates.space import Candidate

Groups = Mapping[str, tuple[str, ...]]  # globs of layers by the group's name


def precision_of(group: str) -> str:
    """Returns the name of the parameter that says what a group of layers computes in."""
    return f"{PRECISION}_{group}"


def layers_of(groups: Groups, settings: Mapping[str, Any]) -> Int8Layers | None:
    """Returns the layers that a candidate of these settings has in int8; None where its precision is of all of them."""
    chosen = int8_groups(settings)
    return int8_layers(groups, chosen) if chosen else None


def group_of(layer: str, groups: Groups) -> str | None:
    """Returns the last group that names a layer, or None."""
    return next((name for name in reversed(list(groups)) if named_by(layer, groups[name])), None)


def weights_in_int8(
    weights: Sequence[str], candidates: Sequence[Candidate], groups: Groups
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Returns which weights candidates have in int8, bool (weights, candidates)."""
    chosen = [frozenset(int8_groups(candidate.values)) for candidate in candidates]
    whole = np.array([candidate.values.get(PRECISION) == "int8" for candidate in candidates], dtype=np.bool_)
    result = np.tile(whole, (len(weights), 1))
    for row, weight in enumerate(weights):
        group = group_of(weight.rpartition(".")[0], groups)
        result[row] |= [group in names for names in chosen]
    return result
