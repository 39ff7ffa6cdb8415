"""Space: every Arch that a supernet can take, without any torch inside."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ofa.arch import KINDS, Arch
from ofa.errors import InvalidArch, InvalidInput, nearest

# Where a choice counts: any of these, each being "all of these depths (by key) are at least so deep".
Conditions = tuple[tuple[tuple[str, int], ...], ...]
ALWAYS: Conditions = ((),)


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
        """Whether the choice counts, given the depths in `values` (by key)."""
        return any(all(values.get(key, 0) >= least for key, least in every) for every in self.active_when)


@dataclass(frozen=True)
class Space:
    """The choices of a supernet; Archs are drawn, checked, counted and changed here.

    Depths come before the choices that depend on them, so one pass over `choices` decides an Arch.
    """

    choices: tuple[Choice, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for choice in self.choices:
            needed = {key for every in choice.active_when for key, _ in every}
            if choice.key in seen or not needed <= seen:
                raise InvalidInput(f"{choice.key}: named twice, or before the depths it depends on ({sorted(needed)})")
            seen.add(choice.key)

    @cached_property
    def by_key(self) -> dict[str, Choice]:
        """The choices by their key."""
        return {choice.key: choice for choice in self.choices}

    def arch(self, values: Mapping[str, int]) -> Arch:
        """Returns the canonical Arch of values by key: inactive ones are dropped, missing ones are the largest.

        Raises:
            InvalidArch: an unknown key, or a value that its choice does not have.
        """
        for key in values:
            if key not in self.by_key:
                raise InvalidArch(f"{key!r} is not a choice of this space; {nearest(key, self.by_key)}")
        taken: dict[str, int] = {}
        kinds: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
        for choice in self.choices:
            if choice.is_active(taken):
                value = values.get(choice.key, choice.values[-1])
                if value not in choice.values:
                    raise InvalidArch(_not_a_value(choice, value))
                taken[choice.key] = kinds[choice.kind][choice.name] = value
        return Arch(**kinds)

    @cached_property
    def largest(self) -> Arch:
        """The whole supernet."""
        return self.arch({})

    @cached_property
    def smallest(self) -> Arch:
        """Every active choice at its least."""
        return self.arch({choice.key: choice.values[0] for choice in self.choices})

    def sample(self, rng: np.random.Generator) -> Arch:
        """Returns an Arch with every active choice drawn uniformly."""
        return self.arch(self.arch_values(rng))

    def mutate(self, arch: Arch, rng: np.random.Generator, probability: float = 0.1) -> Arch:
        """Returns `arch` with each choice redrawn with `probability`; choices that become active are drawn anew.

        Source: the mutation of Real et al. 2019 (1802.01548) as OFA uses it (Cai et al. 2020, 1908.09791).
        """
        self.validate(arch)
        fresh = self.arch_values(rng)
        redrawn = rng.random(len(self.choices)) < probability
        return self.arch(
            {
                choice.key: fresh[choice.key] if change else arch.values.get(choice.key, fresh[choice.key])
                for choice, change in zip(self.choices, redrawn, strict=True)
            }
        )

    def crossover(self, first: Arch, second: Arch, rng: np.random.Generator) -> Arch:
        """Returns a child that takes each choice from either parent; one that neither made is drawn anew."""
        self.validate(first)
        self.validate(second)
        fresh = self.arch_values(rng)
        picks = rng.random(len(self.choices)) < 0.5
        values = {}
        for choice, pick in zip(self.choices, picks, strict=True):
            mother, father = (first, second) if pick else (second, first)
            values[choice.key] = mother.values.get(choice.key, father.values.get(choice.key, fresh[choice.key]))
        return self.arch(values)

    def arch_values(self, rng: np.random.Generator) -> dict[str, int]:
        """Returns a value for every choice, active or not, drawn uniformly."""
        drawn = zip(self.choices, rng.random(len(self.choices)).tolist(), strict=True)
        return {choice.key: choice.values[int(u * len(choice.values))] for choice, u in drawn}

    def validate(self, arch: Arch) -> None:
        """Checks that `arch` is one of this space's, in canonical form.

        Raises:
            InvalidArch: with the value, the rule and the nearest valid choices.
        """
        for key in arch.values:
            if key not in self.by_key:
                raise InvalidArch(f"{key!r} is not a choice of this space; {nearest(key, self.by_key)}")
        for choice in self.choices:
            active, value = choice.is_active(arch.values), arch.values.get(choice.key)
            if active and value is None:
                raise InvalidArch(f"{choice.key} is missing; its choices are {_listed(choice.values)}")
            if active and value not in choice.values:
                raise InvalidArch(_not_a_value(choice, value))
            if not active and value is not None:
                raise InvalidArch(
                    f"{choice.key}={value} belongs to blocks that this depth leaves out: drop it, "
                    f"or deepen {_deepen(choice)}"
                )

    def contains(self, arch: Arch) -> bool:
        """Whether `arch` is one of this space's, in canonical form."""
        try:
            self.validate(arch)
        except InvalidArch:
            return False
        return True

    @cached_property
    def size(self) -> int:
        """How many different Archs there are, exactly.

        Depths that no choice looks at together are counted apart, so this stays quick for many stages.
        """
        parent = {choice.key: choice.key for choice in self.choices}

        def root(key: str) -> str:
            while parent[key] != key:
                key = parent[key]
            return key

        for choice in self.choices:
            for key, _ in itertools.chain.from_iterable(choice.active_when):
                parent[root(key)] = root(choice.key)
        clusters: dict[str, list[Choice]] = {}
        for choice in self.choices:
            clusters.setdefault(root(choice.key), []).append(choice)
        return math.prod(_count(cluster) for cluster in clusters.values())

    def every(self) -> Iterator[Arch]:
        """Returns an iterator over all Archs, each once: for spaces of a small `size`."""

        def walk(position: int, values: dict[str, int]) -> Iterator[Arch]:
            if position == len(self.choices):
                yield self.arch(values)
                return
            choice = self.choices[position]
            if not choice.is_active(values):
                yield from walk(position + 1, values)
                return
            for value in choice.values:
                yield from walk(position + 1, values | {choice.key: value})

        return walk(0, {})

    def aligned(self, multiple: int) -> Space:
        """Returns the Space with the widths alone that are multiples of `multiple`, and each choice's largest.

        Choices stay where one value is left, so that its Archs are Archs of this Space.

        Raises:
            InvalidInput: `multiple` is below 1.
        """
        if multiple < 1:
            raise InvalidInput(f"widths cannot be aligned to multiples of {multiple}: give 1 or more")

        def kept(choice: Choice) -> tuple[int, ...]:
            return tuple(value for value in choice.values if value % multiple == 0 or value == choice.values[-1])

        return Space(tuple(replace(one, values=kept(one)) if one.kind == "width" else one for one in self.choices))

    def encode(self, archs: Sequence[Arch]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Returns the values as an int64 array (archs, choices), 0 where a choice is inactive."""
        keys = [choice.key for choice in self.choices]
        rows = [[values.get(key, 0) for key in keys] for values in (arch.values for arch in archs)]
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(keys))

    def to_dict(self) -> list[dict[str, Any]]:
        """The choices as JSON-able dictionaries."""
        return [
            {
                "kind": c.kind,
                "name": c.name,
                "values": list(c.values),
                "active_when": [dict(e) for e in c.active_when],
            }
            for c in self.choices
        ]

    @cached_property
    def digest(self) -> str:
        """16 hex digits of the choices: equal spaces have equal digests."""
        return hashlib.sha256(json.dumps(self.to_dict()).encode()).hexdigest()[:16]


def _count(cluster: list[Choice]) -> int:
    """How many value combinations a set of choices has, counting only active ones."""
    gates = {key for choice in cluster for every in choice.active_when for key, _ in every}
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


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))


def _not_a_value(choice: Choice, value: int | None) -> str:
    near = min(choice.values, key=lambda valid: abs(valid - (value or 0)))
    return f"{choice.key}={value} is not one of {_listed(choice.values)}; the nearest is {near}"


def _deepen(choice: Choice) -> str:
    return " or ".join(" and ".join(f"{key} to {least}" for key, least in every) for every in choice.active_when)
