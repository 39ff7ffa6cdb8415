"""Mutators of .ofaz files: what a hostile writer puts in, with checksums that fit."""

from __future__ import annotations

import random
import zlib

from benchmarks.mutated.mutation import Mutation, Mutator, Source
from ofa.compress.code import varints
from ofa.compress.coding import deflated
from ofa.compress.decoding.file import DIGEST, digest_of
from ofa.compress.decoding.reader import Reader

HUGE = (2**20, 2**31, 2**40, 2**62)


def edit_body(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the file with bytes changed behind its head, and a digest that fits: tensors' own checksums see it."""
    content = bytearray(source.content[:-DIGEST])
    for _ in range(rng.choice((1, 2, 8))):
        content[rng.randrange(5, len(content))] ^= 1 << rng.randrange(8)
    return _sealed("body", bytes(content))


def edit_sizes(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the file with another size in its head."""
    sizes, rest = _parted(source.content)
    place = rng.randrange(len(sizes))
    sizes[place] = rng.choice((0, max(0, sizes[place] - 1), sizes[place] + 1, 2 * sizes[place], *HUGE))
    return _sealed("sizes", source.content[:5] + varints(*sizes) + rest)


def edit_directory(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the file with bytes of the directory changed, which is deflated anew: types, shapes and codings."""
    sizes, rest = _parted(source.content)
    directory = bytearray(zlib.decompress(rest[: sizes[0]], -15))
    for _ in range(rng.choice((1, 1, 2))):
        place = rng.randrange(len(directory))
        if rng.random() < 0.3:
            directory[place : place + 1] = varints(rng.choice(HUGE))
        else:
            directory[place] = rng.randrange(256)
    small = deflated(bytes(directory))
    return _sealed("directory", source.content[:5] + varints(len(small), *sizes[1:]) + small + rest[sizes[0] :])


def fill_directory(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the file with a directory or card that unpacks to very much."""
    sizes, rest = _parted(source.content)
    bomb = deflated(bytes(rng.choice((2**20, 2**23))))
    if rng.random() < 0.5:
        return _sealed("bomb", source.content[:5] + varints(len(bomb), *sizes[1:]) + bomb + rest[sizes[0] :])
    return _sealed("bomb behind", source.content[:-DIGEST] + bomb)


CODED: tuple[Mutator, ...] = (edit_body, edit_sizes, edit_directory, fill_directory)


def _parted(content: bytes) -> tuple[list[int], bytes]:
    """The sizes in a file's head, and what follows up to its digest."""
    reader = Reader(content[5:-DIGEST])
    return [reader.number() for _ in range(5)], bytes(reader.take(len(reader.content) - reader.at))


def _sealed(name: str, content: bytes) -> Mutation:
    return Mutation(f"{name}, sealed", content + digest_of(content), sealed=True)
