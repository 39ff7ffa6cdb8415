"""Allocation by group: layers with one sparsity together, such as the convolutions of a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from ofa.errors import InvalidInput, is_number, nearest
from ofa.prune.allocation.limits import kept_of, limits_of, read_scores
from ofa.prune.context import AllocationContext
from ofa.prune.weights import matches

KEYS = ("match", "sparsity")


@dataclass(frozen=True)
class LayerGroup:
    """Layers by globs of their names or of their weights', and the final sparsity of each of them."""

    name: str
    match: tuple[str, ...]
    sparsity: float

    def holds(self, weight: str) -> bool:
        """Returns whether a weight is of the group, by its name."""
        return any(matches(weight, pattern) for pattern in self.match)


class GroupSettings(TypedDict):
    """What a configuration says of a group: patterns of layers, and the fraction of them that is removed."""

    match: str | Sequence[str]
    sparsity: float


def by_group(
    context: AllocationContext,
    *,
    groups: Mapping[str, GroupSettings],
    allow_missing: bool = False,
    allow_empty: bool = False,
) -> list[int]:
    """Returns how many pieces each pool keeps when groups of layers have a sparsity each: n - round(sparsity * n) of n.

    A pool that no group names has the sparsity of the event. A gradual schedule reaches each sparsity in proportion to
    its own progress. With a step above 1 a pool keeps the nearest whole steps.

    Args:
        context: see `AllocationContext`.
        groups: by name, each with "match", globs of layers or weights, and "sparsity", 0 to 1; the last that names a
            pool counts.
        allow_missing: whether a group may name nothing, as in subnets that leave a stage out.
        allow_empty: whether a pool may lose all its pieces.

    Raises:
        InvalidInput: an invalid group, or one that names nothing.
    """
    read = read_groups(groups)
    check_named(read, [pool.name for pool in context.pools], allow_missing)
    counts = []
    for pool, scores in zip(context.pools, read_scores(context), strict=True):
        group = group_of(pool.name, read)
        sparsity = context.sparsity if group is None else group.sparsity * context.progress
        counts.append(limits_of(pool, scores, allow_empty).nearest(kept_of(pool.pieces, sparsity)))
    return counts


def group_of(weight: str, groups: Sequence[LayerGroup]) -> LayerGroup | None:
    """Returns the last group that names a weight, or None."""
    return next((group for group in reversed(groups) if group.holds(weight)), None)


def read_groups(groups: Any) -> list[LayerGroup]:
    """Returns the groups of a configuration.

    Raises:
        InvalidInput: no mapping of groups, another key, no pattern, or a sparsity that is not between 0 and 1.
    """
    if not isinstance(groups, Mapping):
        raise InvalidInput(f"groups={groups!r} must be groups by name, each with match and sparsity")
    result = []
    for name, group in groups.items():
        if not isinstance(group, Mapping) or not set(KEYS) <= group.keys():
            raise InvalidInput(f"groups.{name}={group!r} must have match and sparsity")
        for key in group.keys() - set(KEYS):
            raise InvalidInput(f"groups.{name}.{key} is unknown; {nearest(str(key), KEYS)}")
        match, sparsity = group["match"], group["sparsity"]
        patterns = [match] if isinstance(match, str) else match
        if (
            not isinstance(patterns, Sequence)
            or not patterns
            or not all(isinstance(pattern, str) for pattern in patterns)
        ):
            raise InvalidInput(f"groups.{name}.match={match!r} must be patterns of layers, such as [stages.0.*]")
        if not is_number(sparsity) or not 0 <= sparsity <= 1:
            raise InvalidInput(f"groups.{name}.sparsity={sparsity!r} is the fraction removed: between 0 and 1")
        result.append(LayerGroup(str(name), tuple(patterns), float(sparsity)))
    return result


def check_named(groups: Sequence[LayerGroup], names: Sequence[str], allow_missing: bool) -> None:
    """Checks that every pattern names a weight.

    Raises:
        InvalidInput: a pattern that names none, unless it is `allow_missing`.
    """
    for group in groups if not allow_missing else ():
        for pattern in group.match:
            if not any(matches(name, pattern) for name in names):
                raise InvalidInput(
                    f"groups.{group.name}.match: the pattern {pattern!r} names nothing that is pruned; "
                    f"{nearest(pattern, names)}"
                )
