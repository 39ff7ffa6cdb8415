"""What the cost of an Arch is computed from: the sizes of tensors and the uses of weights, as choices change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from torch import nn

from ofa.choice import Conditions
from ofa.kernel_transforms import is_kernel_transform
from ofa.space import Space
from ofa.structure.components import IntArray
from ofa.structure.structure import Activity, Structure
from ofa.structure.trace import Contraction, Factor
from ofa.views.plan import Axis
from ofa.views.views import Views


@dataclass(frozen=True)
class TensorTerm:
    """How many entries a parameter or buffer has: sizes along axes that vary, a constant, and when it exists."""

    shape: tuple[int, ...]  # in the whole model
    axes: tuple[Axis, ...]
    constant: int
    kernel: tuple[str, int, int] | None  # the choice's key, the full size, the dimensions it has
    bytes_each: int
    is_parameter: bool
    active_when: Conditions


@dataclass(frozen=True)
class FactorTerm:
    """One dimension of a product that groups own in part: `constant` entries, and each group's by how many units stay.

    `full` is its size in the whole model. `by_units` holds for a group its number and the entries that 0, 1, ... units
    leave along this dimension.
    """

    full: int
    constant: int
    by_units: tuple[tuple[int, IntArray], ...]


@dataclass(frozen=True)
class ContractionTerm:
    """One multiply-accumulate op: `positions` times its weight's entries, or `macs` where there is no weight.

    Either count is that of the whole model; the sizes of `factors` are contained in it.
    """

    module: str
    weight: str | None
    positions: int
    macs: int
    factors: tuple[FactorTerm, ...]
    active_when: Conditions


@dataclass(frozen=True)
class CostTerms:
    """Everything that `cost` needs to know of a supernet."""

    space: Space
    groups: tuple[tuple[str, int, int], ...]  # the choice's key, all units, channels per unit
    tensors: Mapping[str, TensorTerm]
    contractions: tuple[ContractionTerm, ...]  # at the full resolution
    resolutions: Mapping[int, tuple[ContractionTerm, ...]]  # by the height of images, where it is a choice


def find_terms(space: Space, structure: Structure, activity: Activity, views: Views) -> CostTerms:
    """Returns the terms of a supernet's cost, which do not change with its weights.

    Args:
        space: the supernet's choices.
        structure: its groups, and the multiply-accumulate ops of its run.
        activity: when its modules run.
        views: its parameters and buffers, and the groups along their dimensions.
    """
    tensors = {}
    for name, source in views.sources.items():
        if is_kernel_transform(name):
            continue
        axes = views.axes.get(name, ())
        varying = {axis.dim for axis in axes}
        path = name.rpartition(".")[0]
        kernel = None
        if name.endswith("weight") and f"kernel_size.{path}" in space.by_key:
            kernel = (f"kernel_size.{path}", source.shape[-1], len(source.shape) - 2)
            varying |= set(range(2, len(source.shape)))
        tensors[name] = TensorTerm(
            source.shape,
            axes,
            prod(size for dim, size in enumerate(source.shape) if dim not in varying),
            kernel,
            source.tensor.element_size(),
            isinstance(source.tensor, nn.Parameter),
            activity.of_tensor(name),
        )
    owners = _label_owners(structure, views)

    def terms_of(contractions: Sequence[Contraction]) -> tuple[ContractionTerm, ...]:
        return tuple(
            ContractionTerm(
                used.module,
                used.weight,
                used.positions,
                used.macs,
                tuple(term for factor in used.factors if (term := _factor_term(factor, owners, structure)) is not None),
                activity.modules[used.module],
            )
            for used in contractions
        )

    resolutions = {height: terms_of(contractions) for height, contractions in structure.resolutions.items()}
    groups = tuple((f"width.{group.name}", group.units, group.channels_per_unit) for group in structure.groups)
    return CostTerms(space, groups, tensors, terms_of(structure.trace.contractions), resolutions)


def _label_owners(structure: Structure, views: Views) -> tuple[IntArray, IntArray]:
    """Returns by label the number of the group that owns it (-1 for none), and the unit."""
    count = 1 + sum(size for source in views.sources.values() for size in source.shape)
    group_of, unit_of = np.full(count, -1, dtype=np.int64), np.zeros(count, dtype=np.int64)
    for number, group in enumerate(structure.groups):
        for member in group.members:
            offset = views.sources[member.source].offsets[member.dim]
            if offset is not None:
                group_of[offset + member.index] = number
                unit_of[offset + member.index] = np.arange(group.units)[:, None]
    return group_of, unit_of


def _factor_term(factor: Factor, owners: tuple[IntArray, IntArray], structure: Structure) -> FactorTerm | None:
    """Returns how one dimension depends on units; None where it does not, as within a head that goes as a whole."""
    group_of, unit_of = owners
    for tensor in factor.labels:
        labels = tensor.numpy()
        labels = np.where(labels < len(group_of), labels, 0)
        groups, units = group_of[labels], unit_of[labels]
        if (groups < 0).all() or ((groups == groups[0]).all() and (units == units[0]).all()):
            continue
        by_units = tuple(
            (
                int(number),
                np.concatenate(
                    [[0], np.cumsum(np.bincount(units[groups == number], minlength=structure.groups[number].units))]
                ),
            )
            for number in np.unique(groups[groups >= 0])
        )
        return FactorTerm(factor.size, int((groups < 0).sum()), by_units)
    return None
