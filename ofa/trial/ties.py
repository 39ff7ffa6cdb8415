"""Groups that can only shrink together, such as heads and the width that their size is computed from.

`B, N, D = x.shape; qkv.reshape(B, N, 3, heads, D // heads)` reads the size of one tensor and uses it for another.
Alone, neither heads nor width can vary. Tied, a unit is a head with its share of the width.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from torch import nn

from ofa.structure.coupling import Group, IntArray, Member
from ofa.views.attributes import keeps_sizes


def tied(groups: Sequence[Group]) -> Group | None:
    """Returns one group whose units take equal, consecutive shares of every group's; None where only one unit fits."""
    units = math.gcd(*(group.units for group in groups))
    if len(groups) < 2 or units < 2:
        return None
    columns: dict[tuple[str, int], list[IntArray]] = {}
    for group in groups:
        for member in group.members:
            columns.setdefault((member.source, member.dim), []).append(member.index.reshape(units, -1))
    first = groups[0]
    shares = {key: np.sort(np.concatenate(parts, axis=1), axis=1) for key, parts in columns.items()}
    naming = {(member.source, member.dim) for member in first.members if member.index.size == first.channels}
    per_unit = max((shares[key].shape[1] for key in naming if key[0].startswith(first.name)), default=0)
    return Group(
        first.name,
        units,
        per_unit or first.channels // units,
        tuple(Member(source, dim, index) for (source, dim), index in shares.items()),
        any(group.renormalized for group in groups),
    )


def partners(
    modules: Mapping[str, nn.Module], chosen: Sequence[Group], others: Sequence[Group], places: Sequence[str]
) -> Iterator[list[Group]]:
    """Returns sets of groups that `chosen` may have to shrink with, likelier ones first.

    They lie in a module whose code failed when `chosen` was narrow. Where other modules of its class hold groups in the
    same roles, such as the heads of every block along one width, these come too: first all of them, then one alone.

    Args:
        modules: of the model, by path. chosen: groups that are tied already. others: that cannot shrink alone.
        places: paths of the modules whose code failed, innermost first.
    """
    alone: list[list[Group]] = []
    for path in places:
        if path and keeps_sizes(modules[path]):
            continue
        own = _roles(chosen, path)
        alike = [other for other, module in modules.items() if type(module) is type(modules[path])]
        for group in others:
            if role := _roles([group], path):
                around = [other for other in alike if not own or own & _roles(chosen, other)]
                yield [partner for partner in others if any(role & _roles([partner], other) for other in around)]
                alone.append([group])
    yield from alone


def _roles(groups: Collection[Group], path: str) -> set[tuple[str, int]]:
    """Where groups lie inside a module: the names of its tensors, and their dimensions."""
    prefix = f"{path}." if path else ""
    return {
        (member.source.removeprefix(prefix), member.dim)
        for group in groups
        for member in group.members
        if member.source.startswith(prefix)
    }
