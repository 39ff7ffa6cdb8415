"""What an array of patterns becomes in a file: entries of the directory, bytes and bits, and what they are for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from ofa.compress.tape import Piece

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Parts:
    """Bytes by what they are for: where numbers are, what they are, and the tables that say so."""

    positions: float = 0.0
    values: float = 0.0
    tables: float = 0.0

    def __add__(self, other: Parts) -> Parts:
        return Parts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    @property
    def total(self) -> float:
        """All of them together."""
        return self.positions + self.values + self.tables


@dataclass(frozen=True)
class Code:
    """A coded array.

    Attributes:
        how: its codings, from the outermost, such as "sparse, levels".
        directory: its entry in the directory.
        plain: its plain bytes, in the order in which they are read.
        parts: what these and the bits are for.
        bits: what becomes words, in the order in which it is read.
    """

    how: str
    directory: bytes = b""
    plain: tuple[Buffer, ...] = ()
    parts: Parts = field(default_factory=Parts)
    bits: tuple[Piece, ...] = ()

    @property
    def bytes(self) -> float:
        """What it takes in a file, but for the deflation of the directory."""
        return self.parts.total + len(self.directory)


def joined(how: str, directory: bytes, codes: Sequence[Code]) -> Code:
    """Returns codes that are read in turn, behind an entry of their own, as one."""
    return Code(
        how,
        directory + b"".join(code.directory for code in codes),
        tuple(piece for code in codes for piece in code.plain),
        sum((code.parts for code in codes), Parts()),
        tuple(piece for code in codes for piece in code.bits),
    )


def varint(number: int) -> bytes:
    """Returns a number from 0 to 2^63 - 1 with seven bits a byte, the lowest first."""
    pieces = bytearray()
    while number >= 128:
        pieces.append(number & 127 | 128)
        number >>= 7
    return bytes((*pieces, number))


def varints(*numbers: int) -> bytes:
    """Returns numbers, each as `varint`."""
    return b"".join(map(varint, numbers))
