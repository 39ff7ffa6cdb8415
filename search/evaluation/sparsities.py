"""Sparsities: the fraction of each layer that a candidate removes, and its figures after that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from ofa._cost import entries_of
from ofa.prune.allocation._by_group import LayerGroup, by_group, check_named, group_of, read_groups
from ofa.prune.weights import prunable_weights
from search.candidates.coded_bytes import CodedBytes, said_bytes
from search.candidates.figures import BYTES_ON_DISK, CandidateFigures, Figures, Floats
from search.candidates.mixtures import Groups, weights_in_int8
from search.candidates.space import Candidate
from search.config.rules import Target
from search.config.searched_keys import SearchedKeys
from search.config.tuning import Pruning
from search.objects import make_partial

if TYPE_CHECKING:
    from ofa.supernet import Supernet

SPARSITY = "prune.sparsity"
ALLOCATION = "prune.allocation"


@dataclass(frozen=True)
class Sparsities:
    """How the sparsity of a layer is set: by a setting or one value for all layers, and by groups of layers.

    Attributes:
        setting: the setting with the sparsity of all layers; None where all candidates have the same `sparsity`.
        allocation: the setting that chooses the allocation; None where all candidates have the same.
        groups: the groups of each allocation by group, keyed by the value of `allocation`; by "" without that setting.
        group_settings: the setting with a group's sparsity, by the group's name.
    """

    setting: str | None
    sparsity: float
    allocation: str | None = None
    groups: Mapping[str, Sequence[LayerGroup]] = field(default_factory=dict)
    group_settings: Mapping[str, str] = field(default_factory=dict)

    def of(self, candidates: Sequence[Candidate], weights: Sequence[str]) -> Floats:
        """Returns the fraction removed of each of the named weights, (weights, candidates)."""
        values = [candidate.values for candidate in candidates]
        everywhere = np.array([float(settings.get(self.setting or "", self.sparsity)) for settings in values])
        removed = np.tile(everywhere, (len(weights), 1))
        for option, groups in self.groups.items():
            chosen = [
                index for index, settings in enumerate(values) if str(settings.get(self.allocation or "", "")) == option
            ]
            for row, weight in enumerate(weights):
                group = group_of(weight, groups)
                if group is not None and chosen:
                    name = self.group_settings.get(group.name, "")
                    removed[row, chosen] = [float(values[index].get(name, group.sparsity)) for index in chosen]
        return removed

    def check(self, weights: Sequence[str]) -> None:
        """Checks that every group's patterns match at least one of the weights.

        Raises:
            InvalidInput: a pattern matches none.
        """
        for groups in self.groups.values():
            check_named(groups, weights, allow_missing=False)


def sparsities_of(keys: SearchedKeys, recipe: Pruning) -> Sparsities:
    """Returns the sparsities of a recipe and of its searched settings.

    Raises:
        InvalidInput: a group of layers that is not valid.
    """
    setting = {path: name for name, paths in keys.paths.items() for path in paths}
    chooses = setting.get(ALLOCATION)
    options = {"": recipe.allocation} if chooses is None else dict(keys.options.get(chooses, {}))
    groups = {
        name: read_groups(node.get("groups"))
        for name, node in options.items()
        if isinstance(node, dict) and _is_by_group(node)
    }
    of_groups = {
        group.name: setting[path]
        for every in groups.values()
        for group in every
        if (path := f"{ALLOCATION}.groups.{group.name}.sparsity") in setting
    }
    return Sparsities(setting.get(SPARSITY), recipe.sparsity or 0.0, chooses, groups, of_groups)


def _is_by_group(node: Target) -> bool:
    """Whether a `_target_` is the allocation by group; other allocations choose sparsities themselves."""
    return bool(node.get("_partial_")) and make_partial(ALLOCATION, node).func is by_group


def sparse_figures(
    supernet: Supernet,
    figures: Figures,
    sparsities: Sparsities,
    *,
    keep: Sequence[str] = (),
    include: Sequence[str] = (),
    groups: Groups = MappingProxyType({}),
) -> CandidateFigures:
    """Returns the figures of candidates, where "bytes" is the size without zeros, and "bytes_on_disk" of them pruned.

    A weight in int8 takes one byte, and no more is counted for scales.

    It is exact where each layer has its own sparsity, alone or in a group. Where all layers are ranked together, each
    layer is assumed to have its share of the zeros; the exact figure is known after pruning.

    Args:
        figures: figures of Archs.
        sparsities: the sparsities that candidates set.
        keep, include: patterns of layers that are not pruned, and of parameters that are whatever their role.
        groups: of layers that have a precision each.

    Raises:
        InvalidInput: a pattern, of `keep` or of a group, that matches nothing in the supernet.
    """
    weights = prunable_weights(supernet.model, keep, include, supernet.inputs)
    names, entry_bytes = list(weights), np.array([weight.element_size() for weight in weights.values()])[:, None]
    sparsities.check(names)
    coded = list[CodedBytes]()

    def of(candidates: Sequence[Candidate]) -> Mapping[str, Floats]:
        archs = [candidate.arch for candidate in candidates]
        by_name = dict(figures(archs))
        entries = entries_of(supernet, archs, names)
        removed = sparsities.of(candidates, names)
        remaining = entries - np.rint(removed * entries)
        remaining = np.where(entries > 0, np.maximum(remaining, 1), 0)  # no layer is emptied
        each = np.where(weights_in_int8(names, candidates, groups), 1, entry_bytes)
        stored = np.minimum(entries * each, remaining * each + -(-entries // 8))
        if BYTES_ON_DISK in by_name:
            coded.extend([] if coded else [said_bytes(supernet, names)])
            by_name[BYTES_ON_DISK] = coded[0].predict(supernet, archs, dict(zip(names, removed, strict=True)))
        by_name["bytes"] = by_name["bytes"] - (entries * entry_bytes).sum(axis=0) + stored.sum(axis=0)
        return by_name

    return of
