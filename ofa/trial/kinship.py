"""Kinship: groups at like places of repeated blocks, which pass or fail alike and need the like numbers in Python."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from ofa.structure.coupling import Group
from ofa.structure.size_attributes import SizeAttribute, integers

Kind = tuple[tuple[str, int], ...]
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


def kind_of(group: Group) -> Kind:
    """Returns what the groups of repeated blocks have in common: their tensors, whatever the blocks' numbers."""
    return tuple(sorted({(_NUMBER.sub("#", member.source), member.dim) for member in group.members}))


def transferred(
    numbers: Sequence[SizeAttribute], group: Group, other: Group, model: nn.Module
) -> tuple[SizeAttribute, ...] | None:
    """Returns for another group of its kind the numbers that a group needs; None where it has no such numbers.

    Args:
        numbers: of `group`. other: of the same kind as `group`. model: has both.
    """
    paths = like_paths(group, other)
    result: dict[tuple[str, str], SizeAttribute] = {}
    for number in numbers:
        path = paths.get(number.path)
        if path is None:
            return None
        value = dict(integers(model.get_submodule(path))).get(number.name)
        if value is None or value * group.units != number.full * other.units:
            return None
        result[path, number.name] = replace(number, path=path, group=other.name, full=value)
    return tuple(result.values())


def like_paths(group: Group, other: Group) -> dict[str, str]:
    """Returns by each path above a tensor of a group the path at the like place of another of its kind."""
    by_pattern: dict[tuple[str, int], list[str]] = {}
    for member in other.members:
        by_pattern.setdefault((_NUMBER.sub("#", member.source), member.dim), []).append(member.source)
    paths: dict[str, str] = {}
    seen: dict[tuple[str, int], int] = {}
    for member in group.members:
        key = (_NUMBER.sub("#", member.source), member.dim)
        position = seen[key] = seen.get(key, -1) + 1
        partners = by_pattern.get(key, [])
        if position < len(partners):
            own, partner = member.source.split("."), partners[position].split(".")
            for depth in range(len(own)):
                paths.setdefault(".".join(own[:depth]), ".".join(partner[:depth]))
    return paths
