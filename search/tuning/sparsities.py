"""Sparsities: the fraction of each layer that candidates ask to remove, by what their settings put in the config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from ofa.prune.allocation.by_group import LayerGroup, by_group, check_named, group_of, read_groups
from search.app.build import make_partial
from search.candidate import Candidate
from search.figures import Floats
from search.tuning.searched_keys import SearchedKeys

SPARSITY = "prune.sparsity"
ALLOCATION = "prune.allocation"


@dataclass(frozen=True)
class Sparsities:
    """What decides the sparsity of a layer: a setting or one value for all, and those of groups of layers.

    Attributes:
        setting: that is the sparsity of all layers; None where all candidates have the same `sparsity`.
        allocation: the setting that chooses the allocation; None where there is one for all.
        groups: of an allocation by group, by the value of `allocation` that chooses it; under "" where none does.
        group_settings: the setting that is a group's sparsity, by the group's name.
    """

    setting: str | None
    sparsity: float
    allocation: str | None = None
    groups: Mapping[str, Sequence[LayerGroup]] = field(default_factory=dict)
    group_settings: Mapping[str, str] = field(default_factory=dict)

    def of(self, candidates: Sequence[Candidate], weights: Sequence[str]) -> Floats:
        """Returns the fraction that is removed of each of the named weights, (weights, candidates)."""
        values = [candidate.values for candidate in candidates]
        everywhere = np.array([float(one.get(self.setting or "", self.sparsity)) for one in values])
        removed = np.tile(everywhere, (len(weights), 1))
        for option, groups in self.groups.items():
            chosen = [place for place, one in enumerate(values) if str(one.get(self.allocation or "", "")) == option]
            for row, weight in enumerate(weights):
                group = group_of(weight, groups)
                if group is not None and chosen:
                    name = self.group_settings.get(group.name, "")
                    removed[row, chosen] = [float(values[place].get(name, group.sparsity)) for place in chosen]
        return removed

    def check(self, weights: Sequence[str]) -> None:
        """Checks that the patterns of all groups name one of the weights.

        Raises:
            InvalidInput: one names none.
        """
        for groups in self.groups.values():
            check_named(groups, weights, allow_missing=False)


def sparsities_of(keys: SearchedKeys, prune: Mapping[str, Any]) -> Sparsities:
    """Returns the sparsities of a `prune` group, as plain values, and of what is searched of it.

    Raises:
        InvalidInput: a group of layers that is none.
    """
    setting = {path: name for name, paths in keys.paths.items() for path in paths}
    chooses = setting.get(ALLOCATION)
    if chooses is None:
        options = {"": prune["allocation"]}
    else:
        found: Any = OmegaConf.to_container(keys.options[chooses], resolve=False) if chooses in keys.options else {}
        options = {str(name): node for name, node in found.items()}
    groups = {
        name: read_groups(node.get("groups"))
        for name, node in options.items()
        if isinstance(node, Mapping) and _is_by_group(node)
    }
    of_groups = {
        group.name: setting[path]
        for every in groups.values()
        for group in every
        if (path := f"{ALLOCATION}.groups.{group.name}.sparsity") in setting
    }
    return Sparsities(setting.get(SPARSITY), float(prune["sparsity"]), chooses, groups, of_groups)


def _is_by_group(node: Mapping[str, Any]) -> bool:
    """Whether a `_target_` is the allocation by group; another one has ideas of its own."""
    return bool(node.get("_partial_")) and make_partial(ALLOCATION, node).func is by_group
