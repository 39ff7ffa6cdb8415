"""Choices: what an Arch decides, when each choice counts, and how many Archs several choices make."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ofa.arch import KINDS
from ofa.errors import InvalidInput, nearest

# Where a choice counts: any of these, each being "all of these depths have at least, and operators just, this value".
Conditions = tuple[tuple[tuple[str, int], ...], ...]
ALWAYS: Conditions = ((),)


def holds(key: str, value: Any, wanted: int) -> Any:
    """Returns whether a condition holds for a value, or for each of an array: a depth at least, an operator just it."""
    return value == wanted if key.startswith("operator.") else value >= wanted


@dataclass(frozen=True)
class Choice:
    """One thing that an Arch decides: its kind, name, values (ascending), and when it counts."""

    kind: str
    name: str
    values: tuple[int, ...]
    active_when: Conditions = ALWAYS

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInput(f"{self.kind!r} is not a kind of choice; {nearest(self.kind, KINDS)}")
        if not self.values or list(self.values) != sorted(set(self.values)) or self.values[0] < 0:
            raise InvalidInput(f"{self.key}: values {self.values} must be distinct, ascending and not negative")

    @cached_property
    def key(self) -> str:
        """The name across kinds, such as "width.stem.conv"."""
        return f"{self.kind}.{self.name}"

    def is_active(self, values: Mapping[str, int]) -> bool:
        """Whether the choice counts, given the depths and operators in `values` (by key)."""
        return any(
            all(holds(key, values.get(key, 0), wanted) for key, wanted in alternative)
            for alternative in self.active_when
        )


def count_archs(choices: Sequence[Choice]) -> int:
    """Returns how many different Archs a space of these choices has, exactly.

    Depths that share no choice are counted separately, so this stays fast for many stages.
    """
    parent = {choice.key: choice.key for choice in choices}

    def root(key: str) -> str:
        while parent[key] != key:
            key = parent[key]
        return key

    for choice in choices:
        for key, _ in itertools.chain.from_iterable(choice.active_when):
            parent[root(key)] = root(choice.key)
    clusters: dict[str, list[Choice]] = {}
    for choice in choices:
        clusters.setdefault(root(choice.key), []).append(choice)
    return math.prod(_combinations(cluster) for cluster in clusters.values())


def _combinations(cluster: list[Choice]) -> int:
    """How many value combinations a set of choices has, counting only active ones."""
    gates = {key for choice in cluster for alternative in choice.active_when for key, _ in alternative}
    gating = [choice for choice in cluster if choice.key in gates]
    rest = [choice for choice in cluster if choice.key not in gates]

    def walk(position: int, values: dict[str, int]) -> int:
        if position == len(gating):
            return math.prod(len(choice.values) for choice in rest if choice.is_active(values))
        choice = gating[position]
        if not choice.is_active(values):
            return walk(position + 1, values)
        return sum(walk(position + 1, values | {choice.key: value}) for value in choice.values)

    return walk(0, {})
