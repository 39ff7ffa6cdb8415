"""Groups that can only shrink together: heads and the width that their size is computed from.

`B, N, D = x.shape; qkv.reshape(B, N, 3, heads, D // heads)` reads the size of one tensor and uses it for another.
Alone, neither heads nor width can vary. Tied, a unit is a head with its share of the width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ofa.structure.coupling import Group, IntArray, Member


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
    return Group(
        first.name,
        units,
        first.channels // units,
        tuple(
            Member(source, dim, np.sort(np.concatenate(parts, axis=1), axis=1))
            for (source, dim), parts in columns.items()
        ),
        any(group.renormalised for group in groups),
    )


def sharing(groups: Sequence[Group]) -> list[list[Group]]:
    """Returns the sets of several groups that lie along the same tensors, directly or by way of others in the set."""
    remaining = list(groups)
    sets = []
    while remaining:
        connected = [remaining.pop(0)]
        sources = {member.source for member in connected[0].members}
        while more := [group for group in remaining if sources & {member.source for member in group.members}]:
            remaining = [group for group in remaining if group not in more]
            connected += more
            sources |= {member.source for group in more for member in group.members}
        if len(connected) > 1:
            sets.append(sorted(connected, key=groups.index))
    return sets
