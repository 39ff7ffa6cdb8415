"""Reads .ofaz files: networks' tensors, coded.

A file is, numbers being varints (7 bits a byte, the lowest first; bytes have the lowest first everywhere):

    "OFAZ", version, 5 numbers | directory | checksums | card | plain bytes | words | digest

The numbers are the sizes of directory, card, plain bytes and words (of 4 bytes), and the bytes of all tensors. The
directory (deflated) has the tensors' names, types and shapes, and the blocks in which they are coded; the checksums are
a CRC-32 a tensor; the card is JSON (deflated); the digest is of everything before it. A block is an array of patterns,
the bits of its numbers as unsigned integers, coded by its first number:

    0 PLAIN    its bytes
    1 SAME     one pattern, for all
    2 PLANES   the first, second ... bytes of all patterns, each plane plain or deflated; those of floats are rotated by
               a bit, so that a plane is of exponents
    3 LEVELS   a table of the patterns that occur, and an array of places in it
    4 SPARSE   the zeros between patterns that are not zero, and an array of these
    5 MATRIX   the same row by row or column by column: where patterns are not zero, and their places in a table, bit by
               bit with chances that are learned from what was read before, out of the words
"""

from __future__ import annotations

import hashlib
import json
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa.compress.decoding.patterns import Source, patterns_of
from ofa.compress.decoding.reader import Array, Reader, inflated
from ofa.compress.decoding.types import TYPES, Coded, Described
from ofa.compress.decoding.words import words_of

MAGIC, VERSION, DIGEST = b"OFAZ", 1, 8
LARGEST = 2**34  # bytes of all tensors, unless told
TEXT_RATIO, TEXT_SLACK = 64, 4096  # a directory or card has at most so many bytes a deflated one, and these
MOST_DIMENSIONS = 64


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
    file = Reader(memoryview(content)[5:-DIGEST])
    directory_size, card_size, plain_size, word_count, total = (file.number() for _ in range(5))
    if total > largest:
        raise ValueError(f"its tensors have {total:,} bytes, over the limit of {largest:,}")
    directory = Reader(_text(file, directory_size))
    tensors = [_described(directory) for _ in range(directory.number())]
    if sum(each.bytes for each in tensors) != total or len({each.name for each in tensors}) != len(tensors):
        raise ValueError("its directory contradicts itself")
    checksums = np.frombuffer(file.take(4 * len(tensors)), "<u4")
    card = json.loads(_text(file, card_size))
    plain = Reader(file.take(plain_size))
    words = words_of(np.frombuffer(file.take(4 * word_count), "<u4"))
    file.end()
    decoded = _decoded(Source(directory, plain, words), tensors)
    if not words.is_empty():
        raise ValueError("words are left over")
    for index, checksum in enumerate(checksums):
        if zlib.crc32(decoded[index].data) != checksum:
            raise ValueError(f"{tensors[index].name} is not what was saved")
    return {each.name: Coded(TYPES[each.kind][0], each.shape, decoded[at]) for at, each in enumerate(tensors)}, card


def digest_of(content: bytes | memoryview) -> bytes:
    """Returns the digest of a file's bytes."""
    return hashlib.blake2b(content, digest_size=DIGEST).digest()


def _text(file: Reader, size: int) -> bytes:
    return inflated(file.take(size), TEXT_RATIO * size + TEXT_SLACK)


def _described(directory: Reader) -> Described:
    name = bytes(directory.take(directory.number())).decode()
    kind, dimensions = directory.number(len(TYPES) - 1), directory.number(MOST_DIMENSIONS)
    return Described(name, kind, tuple(directory.number() for _ in range(dimensions)))


def _decoded(source: Source, tensors: Sequence[Described]) -> dict[int, Array]:
    """The patterns of each tensor, by place: block after block."""
    decoded: dict[int, Array] = {}
    while len(decoded) < len(tensors):
        members = [source.directory.number(len(tensors) - 1) for _ in range(source.directory.number(len(tensors)))]
        units = {tensors[index].unit for index in members}
        if len(units) != 1 or len({*members, *decoded}) != len(members) + len(decoded):
            raise ValueError("its blocks contradict its directory")
        (unit,) = units
        counts = [tensors[index].bytes // unit.itemsize for index in members]
        patterns = patterns_of(source, sum(counts), unit)
        decoded |= dict(zip(members, np.split(patterns, np.cumsum(counts)[:-1]), strict=True))
    source.directory.end()
    source.plain.end()
    return decoded


if __name__ == "__main__":
    for key, values in read(sys.argv[1])[0].items():
        print(key, values.dtype, values.shape)
