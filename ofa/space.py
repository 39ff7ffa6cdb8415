"""Space: every Arch that a supernet can take, without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np

from ofa.arch import KINDS, Arch
from ofa.choice import Choice, Conditions, count_archs
from ofa.errors import InvalidArch, InvalidInput, nearest

GIVEN = ("operator", "resolution")  # kinds of which a run of the model shows one value, not how sizes depend on it


@dataclass(frozen=True)
class Space:
    """The choices of a supernet; Archs are drawn, checked, counted and changed here.

    Depths come before the choices that depend on them, so one pass over `choices` decides an Arch.
    """

    choices: tuple[Choice, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for choice in self.choices:
            needed = {key for alternative in choice.active_when for key, _ in alternative}
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
        values_so_far: dict[str, int] = {}
        kinds: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
        for choice in self.choices:
            if choice.is_active(values_so_far):
                value = values.get(choice.key, choice.values[-1])
                if value not in choice.values:
                    raise InvalidArch(_not_a_value(choice, value))
                values_so_far[choice.key] = kinds[choice.kind][choice.name] = value
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
        """Returns `arch` with each choice redrawn with `probability`; choices that become active are newly drawn.

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
        """Returns a child that takes each choice from either parent; one that neither has is newly drawn."""
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
                    f"{choice.key}={value} belongs to layers that are left out: drop it, or set {_needed(choice)}"
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
        """How many different Archs there are, exactly."""
        return count_archs(self.choices)

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
        """Returns the Space with only those widths that are multiples of `multiple`, and the largest of each choice.

        A choice stays even where one value is left, so its Archs are Archs of this Space.

        Raises:
            InvalidInput: `multiple` is below 1.
        """
        if multiple < 1:
            raise InvalidInput(f"widths cannot be aligned to multiples of {multiple}: give 1 or more")

        def aligned(choice: Choice) -> Choice:
            if choice.kind != "width":
                return choice
            values = (value for value in choice.values if value % multiple == 0 or value == choice.values[-1])
            return replace(choice, values=tuple(values))

        return Space(tuple(map(aligned, self.choices)))

    def with_given(self, values: Mapping[str, int]) -> Space:
        """Returns the Space of the other choices where operators and a resolution are given by key.

        Choices of layers that are then left out are no part of it.
        """

        def remaining(choice: Choice) -> Conditions:
            return tuple(
                tuple((key, least) for key, least in every if not key.startswith("operator."))
                for every in choice.active_when
                if all(values.get(key) == wanted for key, wanted in every if key.startswith("operator."))
            )

        others = [(choice, remaining(choice)) for choice in self.choices if choice.kind not in GIVEN]
        return Space(tuple(replace(choice, active_when=conditions) for choice, conditions in others if conditions))

    def encode(self, archs: Sequence[Arch], inactive: int = 0) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Returns the values as an int64 array (archs, choices), `inactive` where a choice is inactive."""
        codes = np.empty((len(archs), len(self.choices)), dtype=np.int64)
        for kind in KINDS:  # looked up by kind, since an Arch makes its values by key when they are first asked for
            columns = [column for column, choice in enumerate(self.choices) if choice.kind == kind]
            names = [self.choices[column].name for column in columns]
            rows = [list(map(getattr(arch, kind).get, names, repeat(inactive))) for arch in archs]
            codes[:, columns] = np.reshape(rows, (len(archs), len(columns)))
        return codes

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


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))


def _not_a_value(choice: Choice, value: int | None) -> str:
    near = min(choice.values, key=lambda valid: abs(valid - (value or 0)))
    return f"{choice.key}={value} is not one of {_listed(choice.values)}; the nearest is {near}"


def _needed(choice: Choice) -> str:
    return " or ".join(
        " and ".join(f"{key} to {value}" for key, value in alternative) for alternative in choice.active_when
    )
