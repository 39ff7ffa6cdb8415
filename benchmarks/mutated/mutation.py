"""A mutation of a file: what is there instead, and what may come of reading it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """What a file holds after a mutation.

    Attributes:
        name: what was done.
        content: the new bytes.
        sealed: the checksum was made anew, as a hostile writer would: another content may then be taken.
        impossible: such a content can never be, whoever wrote it: it has to be refused.
        without: suffixes of files beside it that a hostile writer removes, such as ".head".
        place: what stands there instead of a file: "pipe", "folder", or "device" without an end.
    """

    name: str
    content: bytes
    sealed: bool = False
    impossible: bool = False
    without: tuple[str, ...] = ()
    place: str = ""


@dataclass(frozen=True)
class Source:
    """The file that is mutated.

    Attributes:
        name: of the file, without folders: checksums of caches hold it.
        content: its bytes.
        other: those of another file of its kind, its own where there is none.
    """

    name: str
    content: bytes
    other: bytes


Mutator = Callable[[Source, random.Random], Mutation | None]  # None: nothing to do in this file
