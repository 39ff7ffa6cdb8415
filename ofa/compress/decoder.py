"""Reads .ofaz files: networks' tensors, coded. Needs numpy alone, so this one file can be copied to a device.

    python decoder.py model.ofaz            # what is in it
    arrays, card = read("model.ofaz")

A file is, numbers being varints (7 bits a byte, the lowest first; bytes have the lowest first everywhere):

    "OFAZ", version, 4 sizes, bytes of all tensors | directory | checksums | card | plain bytes | words | digest

The directory (deflated) has the tensors' names, types and shapes, and the blocks in which they are coded; the checksums
are a CRC-32 a tensor; the card is JSON (deflated); the digest is of everything before it. A block is an array of
patterns, the bits of its numbers as unsigned integers, coded by its first byte:

    PLAIN      its bytes
    SAME       one pattern, for all
    PLANES     the first, second ... bytes of all patterns, each plane plain or deflated; those of floats are rotated by
               a bit, so that a plane is of exponents
    LEVELS     a table of the patterns that occur, and a block of places in it
    SPARSE     where the patterns are not zero, and a block of these
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MAGIC, VERSION, DIGEST = b"OFAZ", 1, 8
PLAIN, SAME, PLANES, LEVELS, SPARSE = range(5)
ESCAPE = 255  # a gap of so many zeros before which there is no number
LARGEST = 2**34  # bytes of all tensors, unless told
LARGEST_TEXT = 2**26  # bytes of a directory or card
# Names of types with their bytes; their places here are in files: append only.
TYPES = (
    *(("float32", 4), ("float16", 2), ("bfloat16", 2), ("float64", 8), ("bool", 1), ("uint8", 1), ("int8", 1)),
    *(("int16", 2), ("int32", 4), ("int64", 8), ("uint16", 2), ("uint32", 4), ("uint64", 8), ("complex64", 8)),
    *(("complex128", 16), ("float8_e4m3fn", 1), ("float8_e5m2", 1), ("float8_e4m3fnuz", 1), ("float8_e5m2fnuz", 1)),
    *(("float8_e8m0fnu", 1),),
)
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Coded:
    """A tensor as it was saved: the name of its type, and its numbers' bits, (*shape) or (*shape, 2) if of 16 bytes."""

    type: str
    shape: tuple[int, ...]
    patterns: Array

    def array(self) -> Array:
        """Returns it as numbers, where numpy has the type; otherwise their bits as unsigned integers."""
        try:
            kind = np.dtype(self.type)
        except TypeError:
            return self.patterns.reshape(self.shape)
        return self.patterns.view(kind).reshape(self.shape)


class Bytes:
    """Bytes that are read in turn, never past their end."""

    def __init__(self, content: bytes | memoryview) -> None:
        self.content, self.at = memoryview(content), 0

    def take(self, count: int) -> memoryview:
        """Returns the next bytes."""
        if count > len(self.content) - self.at:
            raise ValueError(f"{count} bytes are to follow, {len(self.content) - self.at} do")
        self.at += count
        return self.content[self.at - count : self.at]

    def number(self) -> int:
        """Returns the next varint."""
        value = 0
        for shift in range(0, 63, 7):
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number has more than 63 bits")

    def end(self) -> None:
        """Checks that everything was read."""
        if self.at != len(self.content):
            raise ValueError(f"{len(self.content) - self.at} bytes are left over")


def read(path: Path | str, largest: int = LARGEST) -> tuple[dict[str, Array], Any]:
    """Returns the tensors of a file as arrays by name, and its card.

    Raises:
        ValueError: it is damaged, or its tensors have more than `largest` bytes.
    """
    tensors, card = decode(Path(path).read_bytes(), largest)
    return {name: coded.array() for name, coded in tensors.items()}, card


def decode(content: bytes, largest: int = LARGEST) -> tuple[dict[str, Coded], Any]:
    """Returns the tensors of a file's content by name, in order, and its card.

    Raises:
        ValueError: it is damaged, or its tensors have more than `largest` bytes. Nothing large was allocated then.
    """
    if content[:4] != MAGIC:
        raise ValueError("it is no .ofaz file")
    if len(content) < 5 + DIGEST or content[4] != VERSION:
        raise ValueError(f"it is of another version than {VERSION}, or cut off")
    if digest_of(memoryview(content)[:-DIGEST]) != content[-DIGEST:]:
        raise ValueError("its checksum does not match")
    file = Bytes(memoryview(content)[5:-DIGEST])
    directory_size, card_size, plain_size, word_size, total = (file.number() for _ in range(5))
    if total > largest:
        raise ValueError(f"its tensors have {total:,} bytes, over the limit of {largest:,}")
    directory = Bytes(_inflated(file.take(directory_size), LARGEST_TEXT))
    tensors = [_described(directory) for _ in range(directory.number())]
    if sum(_size(*tensor[1:]) for tensor in tensors) != total or len({name for name, _, _ in tensors}) != len(tensors):
        raise ValueError("its directory contradicts itself")
    checksums = np.frombuffer(file.take(4 * len(tensors)), "<u4")
    card = _inflated(file.take(card_size), LARGEST_TEXT)
    source = Bytes(file.take(plain_size))
    file.take(4 * word_size)
    file.end()
    decoded: dict[int, Array] = {}
    while len(decoded) < len(tensors):
        decoded |= _block(directory, source, tensors, decoded)
    directory.end()
    source.end()
    for place, checksum in enumerate(checksums):
        if zlib.crc32(decoded[place].data) != checksum:
            raise ValueError(f"{tensors[place][0]} is not what was saved")
    return {
        name: Coded(TYPES[kind][0], shape, decoded[at]) for at, (name, kind, shape) in enumerate(tensors)
    }, json.loads(card)


def digest_of(content: bytes | memoryview) -> bytes:
    """Returns the digest of a file's bytes."""
    return hashlib.blake2b(content, digest_size=DIGEST).digest()


def unit_of(kind: int) -> tuple[str, int]:
    """Returns numpy's name of the patterns of a type, and how many there are a number."""
    size = TYPES[kind][1]
    return f"<u{min(size, 8)}", -(-size // 8)


def _described(directory: Bytes) -> tuple[str, int, tuple[int, ...]]:
    name = bytes(directory.take(directory.number())).decode()
    kind, dimensions = directory.number(), directory.number()
    if kind >= len(TYPES) or dimensions > 64:
        raise ValueError("a tensor's type is unknown")
    return name, kind, tuple(directory.number() for _ in range(dimensions))


def _size(kind: int, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * TYPES[kind][1]


def _block(
    directory: Bytes, source: Bytes, tensors: list[tuple[str, int, tuple[int, ...]]], before: dict[int, Array]
) -> dict[int, Array]:
    """The next block's tensors by place, as patterns, each of one dimension."""
    members = [directory.number() for _ in range(directory.number())]
    if not members or max(members) >= len(tensors) or len({*members, *before}) != len(members) + len(before):
        raise ValueError("its blocks contradict its directory")
    units = {unit_of(tensors[place][1]) for place in members}
    if len(units) > 1:
        raise ValueError("a block has numbers of two sizes")
    ((unit, times),) = units
    counts = [math.prod(tensors[place][2]) * times for place in members]
    patterns = _patterns(directory, source, sum(counts), np.dtype(unit))
    return dict(zip(members, np.split(patterns, np.cumsum(counts)[:-1]), strict=True))


def _patterns(directory: Bytes, source: Bytes, count: int, unit: np.dtype[Any]) -> Array:
    """The next array of patterns, (count,)."""
    coding = directory.number()
    if coding == PLAIN:
        return np.frombuffer(source.take(count * unit.itemsize), unit).copy()
    if coding == SAME:
        return np.full(count, np.frombuffer(source.take(unit.itemsize), unit)[0])
    if coding == PLANES:
        return _planes(directory, source, count, unit)
    if coding == LEVELS:
        levels = _patterns(directory, source, _at_most(directory.number() + 1, min(count, 2**16)), unit)
        places = _patterns(directory, source, count, np.dtype("<u1" if len(levels) <= 256 else "<u2"))
        _at_most(int(places.max(initial=0)) + 1, len(levels))
        return levels[places]
    if coding == SPARSE:
        places = _positions(directory, source, count)
        patterns = np.zeros(count, unit)
        patterns[places] = _patterns(directory, source, len(places), unit)
        return patterns
    raise ValueError(f"coding {coding} is unknown")


def _planes(directory: Bytes, source: Bytes, count: int, unit: np.dtype[Any]) -> Array:
    rotated = directory.number()
    planes = np.empty((count, unit.itemsize), np.uint8)
    for plane in range(unit.itemsize):
        size = directory.number()
        plain = source.take(count) if not size else _inflated(source.take(size), count)
        planes[:, plane] = np.frombuffer(plain, np.uint8) if len(plain) == count else _fails("a plane is too short")
    patterns: Array = planes.reshape(-1).view(unit)
    bits = 8 * unit.itemsize
    if rotated:
        patterns = (patterns >> unit.type(1)) | (patterns << unit.type(bits - 1))
    return patterns


def _positions(directory: Bytes, source: Bytes, count: int) -> Array:
    """Where the patterns are not zero: from the zeros between them."""
    gaps = _patterns(directory, source, _at_most(directory.number(), count), np.dtype("<u1")).astype(np.int64)
    numbers = gaps != ESCAPE
    places: Array = np.cumsum(gaps + numbers)[numbers] - 1
    _at_most(int(places[-1]) + 1 if len(places) else 0, count)
    return places


def _inflated(content: memoryview, largest: int) -> bytes:
    """The bytes that were deflated, at most so many."""
    machine = zlib.decompressobj(-15)
    plain = machine.decompress(content, largest + 1)
    if len(plain) > largest or not machine.eof or machine.unused_data:
        raise ValueError("deflated bytes are cut off, or more than they can be")
    return plain


def _at_most(number: int, largest: int) -> int:
    return number if number <= largest else _fails(f"{number} is over {largest}")


def _fails(reason: str) -> Any:
    raise ValueError(reason)


if __name__ == "__main__":
    for found, values in read(sys.argv[1])[0].items():
        print(found, values.dtype, values.shape)
