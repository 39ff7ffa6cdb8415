"""Coupling: which weight coordinates stay or go together, found from a trace.

Connected labels are a **unit**. Units of equal structure form a **group**: a width that can shrink unit by
unit. A unit that touches the input, the output, a constant or an op without a rule is fixed, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa.computed_weights import plain_name
from ofa.structure import lanes
from ofa.structure.components import Fixed, components, decide_shared
from ofa.structure.components import IntArray as IntArray
from ofa.structure.trace import Source, Trace


@dataclass(frozen=True)
class Member:
    """The coordinates of a group along one dimension of one parameter: `index` (units, coordinates per unit)."""

    source: str
    dim: int
    index: IntArray


@dataclass(frozen=True)
class Group:
    """Units of equal structure. `channels` are those of the naming layer: `units` times `channels_per_unit`.

    `renormalized` groups pass a layer norm: removing a unit changes the statistics of those that stay. Of the units
    `least` always stay, such as two where a variance runs over them.
    """

    name: str
    units: int
    channels_per_unit: int
    members: tuple[Member, ...]
    renormalized: bool = False
    least: int = 1

    @property
    def channels(self) -> int:
        """How many channels of the layer that names the group belong to it."""
        return self.units * self.channels_per_unit


@dataclass(frozen=True)
class Coupling:
    """Groups that may shrink, and why the rest may not: (parameter, dimension) -> reason."""

    groups: tuple[Group, ...]
    fixed: Mapping[tuple[str, int], str]


def label_owners(sources: Mapping[str, Source]) -> tuple[list[tuple[str, int]], IntArray, IntArray]:
    """Returns (parameter, dimension) keys, and for every label the key's number and the position along it."""
    keys: list[tuple[str, int]] = []
    key_of, position_of = [np.full(1, -1)], [np.zeros(1, dtype=np.int64)]
    for source in sources.values():
        for dim, offset in enumerate(source.offsets):
            if offset is not None:
                key_of.append(np.full(source.shape[dim], len(keys)))
                position_of.append(np.arange(source.shape[dim]))
                keys.append((source.name, dim))
    return keys, np.concatenate(key_of), np.concatenate(position_of)


def solve(trace: Trace, sources: Mapping[str, Source]) -> Coupling:
    """Returns the groups and the reasons for what is fixed."""
    keys, key_of, position_of = label_owners(sources)
    grids = [grid.numpy() for grid in trace.grids]
    fixed_labels: Fixed = [(labels.numpy(), reason) for labels, reason in trace.fixed]
    highest = [int(labels.max()) for labels, _ in fixed_labels if len(labels)]
    count = max([len(key_of), *(label + 1 for label in highest)])
    pairs, common = decide_shared(trace.tied_pairs(), trace.shared, count)
    fixed_labels += common
    root = components(pairs, grids, count)
    reasons = _reasons(fixed_labels, root)
    touched = np.zeros(count, dtype=bool)
    touched[pairs.reshape(-1)] = True
    for labels, _ in fixed_labels:
        touched[labels] = True
    grouped_labels = np.flatnonzero(touched[: len(key_of)] & (key_of >= 0))
    order = grouped_labels[np.lexsort((position_of[grouped_labels], key_of[grouped_labels], root[grouped_labels]))]
    bounds = np.flatnonzero(np.diff(root[order], prepend=-1))
    fixed: dict[tuple[str, int], str] = {}
    shapes: dict[tuple[Any, ...], list[IntArray]] = {}
    renormalized = set(np.unique(root[torch.cat(trace.renormalized).numpy()]).tolist() if trace.renormalized else ())
    composition: dict[bytes, tuple[tuple[int, int], ...]] = {}  # of few kinds: each is counted once
    for unit in np.split(order, bounds[1:]):
        if not len(unit):
            continue
        component = int(root[unit[0]])
        kinds = key_of[unit]
        counts = composition.get(kinds.tobytes())
        if counts is None:
            numbers, times = np.unique(kinds, return_counts=True)
            counts = composition[kinds.tobytes()] = tuple(zip(numbers.tolist(), times.tolist(), strict=True))
        if component in reasons:
            for kind, _ in counts:
                fixed.setdefault(keys[kind], reasons[component])
            continue
        shape = (component in renormalized, *counts)
        shapes.setdefault(shape, []).append(unit)
    groups = []
    for shape, units in shapes.items():
        group = _group(keys, position_of, shape, units, trace, sources)
        matrix = _fixed_matrix(group, sources)
        if group.units > 1 and matrix is None:
            groups.append(group)
            continue
        if matrix is not None:
            for member in group.members:
                fixed.setdefault((member.source, member.dim), f"counts the rows of the matrix {matrix}, a buffer")
            continue
        for member in group.members:
            channels = sources[member.source].shape[member.dim]
            why = "are tied together" if member.index.size == channels else f"of {channels} are tied together"
            fixed.setdefault((member.source, member.dim), f"all {member.index.size} channels {why} (keep all or none)")
    return Coupling(tuple(_distinct(sorted(groups, key=lambda group: _first_use(group, trace)))), fixed)


def _fixed_matrix(group: Group, sources: Mapping[str, Source]) -> str | None:
    """The buffer, such as the graph of positions, whose rows a group counts and a later mean or norm runs over."""
    names = (member.source for member in group.members if group.renormalized and member.dim == 0)
    buffers = (name for name in names if not isinstance(sources[name].tensor, torch.nn.Parameter))
    return next((name for name in buffers if len([s for s in sources[name].shape if s > 1]) == 2), None)


def _reasons(fixed: Fixed, root: IntArray) -> dict[int, str]:
    reasons: dict[int, str] = {}
    for labels, reason in fixed:
        for component in np.unique(root[labels[labels != lanes.CONSTANT]]).tolist():
            reasons.setdefault(component, reason)
    return reasons


def _group(
    keys: list[tuple[str, int]],
    position_of: IntArray,
    shape: tuple[Any, ...],
    units: list[IntArray],
    trace: Trace,
    sources: Mapping[str, Source],
) -> Group:
    """Builds a group; units are ordered by their first coordinate in the layer that names it."""
    renormalized, *kinds = shape
    table = position_of[np.stack(units)]  # (units, coordinates), sorted by parameter, then position
    members, start = [], 0
    for kind, count in kinds:
        source, dim = keys[kind]
        members.append(Member(source, dim, table[:, start : start + count]))
        start += count
    naming = min(members, key=lambda member: _naming_rank(member, trace, sources))
    order = np.lexsort(naming.index.T[::-1])
    return Group(
        plain_name(naming.source).removesuffix(".in_proj_weight").removesuffix(".weight").removesuffix(".bias"),
        len(units),
        naming.index.shape[1],
        tuple(Member(member.source, member.dim, np.ascontiguousarray(member.index[order])) for member in members),
        renormalized,
    )


def _naming_rank(member: Member, trace: Trace, sources: Mapping[str, Source]) -> tuple[bool, bool, int]:
    """A group is called after the first layer that makes its channels: a matrix's rows, in order of use."""
    makes = len(sources[member.source].shape) >= 2 and member.dim == 0
    return (not makes, member.dim != 0, trace.order.get(member.source, len(trace.order)))


def _first_use(group: Group, trace: Trace) -> tuple[int, int]:
    first = min(trace.order.get(member.source, len(trace.order)) for member in group.members)
    return first, int(group.members[0].index.min())


def _distinct(groups: list[Group]) -> list[Group]:
    """Numbers the later ones of groups that are named after the same layer: conv, conv#2, ..."""
    seen: dict[str, int] = {}
    result = []
    for group in groups:
        seen[group.name] = number = seen.get(group.name, 0) + 1
        result.append(group if number == 1 else replace(group, name=f"{group.name}#{number}"))
    return result


def labels_of(source: Source, positions_by_dim: Mapping[int, Tensor] | None = None) -> list[Tensor | None]:
    """Returns the labels of a parameter by dimension, of these positions where `positions_by_dim` has it."""
    result: list[Tensor | None] = []
    for dim, offset in enumerate(source.offsets):
        positions = (positions_by_dim or {}).get(dim)
        if offset is None:
            result.append(None)
        else:
            result.append(offset + (torch.arange(source.shape[dim]) if positions is None else positions))
    return result
