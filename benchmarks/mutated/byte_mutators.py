"""Mutators of any file, whatever its format."""

from __future__ import annotations

import random

from benchmarks.mutated.mutation import Mutation, Mutator, Source

CHUNK = 4096  # bytes, of a disk


def flip_bits(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the file with one to eight bits turned over."""
    if not source.content:
        return None
    content = bytearray(source.content)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return Mutation("bits flipped", bytes(content))


def cut(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the file cut off."""
    return Mutation("cut off", source.content[: rng.randrange(max(1, len(source.content)))])


def delete_bytes(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the file without a part of it."""
    start = rng.randrange(max(1, len(source.content)))
    end = start + rng.choice((1, 1, 7, 64, CHUNK))
    return Mutation("bytes deleted", source.content[:start] + source.content[end:])


def insert_bytes(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the file with bytes put in."""
    start = rng.randrange(len(source.content) + 1)
    added = rng.choice((rng.randbytes(1), rng.randbytes(16), b"\0" * 64, b"\n", b"0", b"\xff\xfe"))
    return Mutation("bytes inserted", source.content[:start] + added + source.content[start:])


def overwrite(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the file with a block of zeros or noise in it, as a power cut or a bad disk leaves it."""
    size = min(len(source.content), rng.choice((1, 8, 64, 512, CHUNK)))
    start = rng.randrange(len(source.content) - size + 1)
    block = bytes(size) if rng.random() < 0.5 else rng.randbytes(size)
    return Mutation("block overwritten", source.content[:start] + block + source.content[start + size :])


def swap_chunks(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the file with two parts of equal size exchanged."""
    size = min(len(source.content) // 2, rng.choice((1, 16, 512)))
    if not size:
        return None
    first, second = sorted(rng.randrange(len(source.content) - size + 1) for _ in range(2))
    if second < first + size:
        return None
    content = source.content
    parts = content[:first], content[second : second + size], content[first + size : second], content[first:][:size]
    return Mutation("chunks swapped", b"".join(parts) + content[second + size :])


def splice(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the begin of the file, and the end of another one of its kind."""
    if source.other == source.content or min(len(source.other), len(source.content)) < 2:
        return None
    first, second = rng.randrange(1, len(source.content)), rng.randrange(1, len(source.other))
    return Mutation("spliced", source.content[:first] + source.other[second:])


def append(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the file with something behind its end."""
    added = rng.choice((rng.randbytes(8), b"\0" * CHUNK, b"{", source.content[:CHUNK], b"\n\n"))
    return Mutation("appended to", source.content + added)


def replace_all(source: Source, rng: random.Random) -> Mutation | None:
    """Returns something else entirely."""
    return Mutation(
        "replaced",
        rng.choice((b"", b"\n", b"null", b"[]", b"{}", b"0", b'""', bytes(CHUNK), rng.randbytes(300), b"\x80\x04N.")),
    )


def put_no_file(source: Source, rng: random.Random) -> Mutation | None:
    """Returns something that is no file."""
    place = rng.choice(("pipe", "folder", "device"))
    return Mutation(f"a {place}", b"", place=place)


BYTES: tuple[Mutator, ...] = (
    *(flip_bits, flip_bits, flip_bits, cut, cut, delete_bytes, insert_bytes, overwrite),
    *(swap_chunks, splice, append, replace_all, put_no_file),
)
