"""Arch: the frozen record of one subnet's choices."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from ofa.errors import InvalidArch, nearest

KINDS = ("width", "depth", "kernel_size")


@dataclass(frozen=True, eq=False)
class Arch:
    """One subnet's choices by name: channels per width, blocks per depth, pixels per kernel.

    A choice that a dropped block would have made is absent, so equal networks are equal Archs
    (`Space.arch` sees to it). Hashable, ordered by name, JSON round trip exact.
    """

    width: Mapping[str, int] = field(default_factory=dict)
    depth: Mapping[str, int] = field(default_factory=dict)
    kernel_size: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in KINDS:
            choices = getattr(self, kind)
            for name, value in choices.items():
                if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, int):
                    raise InvalidArch(f"{kind}[{name!r}] = {value!r}: names are text and values whole numbers")
            object.__setattr__(self, kind, MappingProxyType(dict(sorted(choices.items()))))

    @cached_property
    def _key(self) -> tuple[tuple[tuple[str, int], ...], ...]:
        return tuple(tuple(getattr(self, kind).items()) for kind in KINDS)

    @cached_property
    def _hash(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Arch) and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return (Arch, tuple(dict(getattr(self, kind)) for kind in KINDS))

    @cached_property
    def values(self) -> Mapping[str, int]:
        """Every choice by key, such as "width.stem.conv" or "depth.stages.0"."""
        return MappingProxyType(
            {f"{kind}.{name}": value for kind in KINDS for name, value in getattr(self, kind).items()}
        )

    @cached_property
    def digest(self) -> str:
        """16 hex digits that name this Arch in files and caches."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, dict[str, int]]:
        """Plain dictionaries by kind; kinds without choices are left out."""
        return {kind: dict(getattr(self, kind)) for kind in KINDS if getattr(self, kind)}

    def to_json(self) -> str:
        """One line of JSON, the same for equal Archs."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_dict(cls, value: Any) -> Arch:
        """Returns the Arch of `to_dict`'s dictionaries.

        Raises:
            InvalidArch: not a dictionary of dictionaries by kind.
        """
        if not isinstance(value, Mapping):
            raise InvalidArch(f"an Arch is a JSON object with {', '.join(KINDS)}, not {value!r:.80}")
        for kind, choices in value.items():
            if kind not in KINDS:
                raise InvalidArch(f"{kind!r} is not a kind of choice; {nearest(str(kind), KINDS)}")
            if not isinstance(choices, Mapping):
                raise InvalidArch(f"{kind} must be an object of name: number, not {choices!r:.80}")
        return cls(**{kind: dict(choices) for kind, choices in value.items()})

    @classmethod
    def from_json(cls, text: str) -> Arch:
        """Returns the Arch that `to_json` wrote.

        Raises:
            InvalidArch: the text is not JSON, or not an Arch.
        """
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise InvalidArch(f"not an Arch: {error}") from None
        return cls.from_dict(value)
