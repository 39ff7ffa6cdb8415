"""Arch: the frozen record of one subnet's choices."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from ofa.errors import InvalidArch, InvalidInput, nearest
from ofa.records import HEAD, Record, parse_json, read_content, write_content

KINDS = ("width", "depth", "kernel_size", "operator", "resolution")
LARGEST_VALUE = 2**31 - 1  # of a choice: more fits into no array

Choices = dict[str, Annotated[int, Meta(ge=0, le=LARGEST_VALUE)]]


class ArchFile(Record, frozen=True, kw_only=True):
    """arch.json: the kinds of `Arch.to_dict`."""

    KIND: ClassVar[str] = "arch"
    REMEDY: ClassVar[str] = "restore it, or extract or prune again with force=true"

    width: Choices = {}  # noqa: RUF012 (a struct copies it)
    depth: Choices = {}  # noqa: RUF012
    kernel_size: Choices = {}  # noqa: RUF012
    operator: Choices = {}  # noqa: RUF012
    resolution: Choices = {}  # noqa: RUF012


class Arch:
    """One subnet's choices by name: channels per width, blocks per depth, pixels per kernel, numbers of operators,
    and the height in pixels of its images.

    A choice that a dropped block would have made is absent, so equal networks are equal Archs
    (`Space.arch` sees to it). Frozen, hashable, ordered by name, JSON round trip exact.
    """

    width: Mapping[str, int]
    depth: Mapping[str, int]
    kernel_size: Mapping[str, int]
    operator: Mapping[str, int]
    resolution: Mapping[str, int]

    # No dataclass: records write and read one by `to_dict` and `from_dict`.
    def __init__(
        self,
        width: Mapping[str, int] = MappingProxyType({}),
        depth: Mapping[str, int] = MappingProxyType({}),
        kernel_size: Mapping[str, int] = MappingProxyType({}),
        operator: Mapping[str, int] = MappingProxyType({}),
        resolution: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        for kind, choices in zip(KINDS, (width, depth, kernel_size, operator, resolution), strict=True):
            _check(kind, choices)
            self.__dict__[kind] = MappingProxyType({name: choices[name] for name in sorted(choices)})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot assign to {name}: an Arch is frozen")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"cannot delete {name}: an Arch is frozen")

    def __repr__(self) -> str:
        return f"Arch({', '.join(f'{kind}={getattr(self, kind)!r}' for kind in KINDS)})"

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
        """Returns the Arch of `to_dict`'s dictionaries; the head of an arch.json may stand beside them.

        Raises:
            InvalidArch: not a dictionary of dictionaries by kind.
        """
        if not isinstance(value, Mapping):
            raise InvalidArch(f"an Arch is a JSON object with {', '.join(KINDS)}, not {value!r:.80}")
        if value.get("kind") == ArchFile.KIND:
            value = {key: item for key, item in value.items() if key not in HEAD}
        for kind, choices in value.items():
            if kind not in KINDS:
                raise InvalidArch(f"{kind!r:.80} is not a kind of choice; {nearest(str(kind), KINDS)}")
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
            if not isinstance(text, str):
                raise InvalidInput(f"its JSON must be text, not {text!r:.60}")
            value = parse_json(text, "the text", "give the JSON of an Arch")
        except InvalidInput as error:
            raise InvalidArch(f"not an Arch: {error}") from None
        return cls.from_dict(value)


def _check(kind: str, choices: Mapping[str, int]) -> None:
    """Refuses what is no mapping of names to values; a thousand choices are first looked at together.

    Raises:
        InvalidArch: with the name and the value.
    """
    values = choices.values()
    plain = {*map(type, choices)} <= {str} and {*map(type, values)} <= {int}
    if plain and (not choices or (min(values) >= 0 and max(values) <= LARGEST_VALUE)):
        return
    for name, value in choices.items():
        if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, int):
            raise InvalidArch(f"{kind}[{name!r:.80}] = {value!r:.80}: names are text and values whole numbers")
        if not 0 <= value <= LARGEST_VALUE:
            raise InvalidArch(f"{kind}[{name!r:.80}] must be a number from 0 to {LARGEST_VALUE}")


def write_arch(path: Path, arch: Arch) -> None:
    """Writes an Arch as arch.json, atomically."""
    write_content(path, ArchFile, arch.to_dict())


def read_arch(path: Path) -> Arch:
    """Returns the Arch of an arch.json.

    Raises:
        InvalidInput: naming the file: missing, damaged, edited or no Arch.
    """
    content = read_content(path, ArchFile)
    try:
        return Arch.from_dict(content)
    except InvalidArch as error:
        raise InvalidInput(f"{path}: {error}; {ArchFile.REMEDY}") from None
