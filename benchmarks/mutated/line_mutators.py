"""Mutators of files of JSON lines: journals and caches."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

from benchmarks.mutated.json_mutators import edited_value
from benchmarks.mutated.mutation import Mutation, Mutator, Source
from search.evaluation.caches import JsonLines
from search.study.journal_chain import START, sealed_line

LONG = 3 * 2**20  # bytes


def rearrange(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the file with lines deleted, doubled, moved, or taken from another file."""
    lines = source.content.splitlines(keepends=True)
    done = _rearranged(lines, source, rng)
    return None if done is None else Mutation(done, b"".join(lines))


def edit_line(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the file with an edit in one line."""
    lines = source.content.splitlines(keepends=True)
    if not lines:
        return None
    place = rng.randrange(len(lines))
    record = json.loads(lines[place])
    done = edited_value(record, rng)
    if done is None:
        return None
    lines[place] = json.dumps(record, separators=(",", ":")).encode() + b"\n"
    return Mutation(f"{done[0]} in a line", b"".join(lines))


def put_line(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the file with a line that is no record."""
    lines = source.content.splitlines(keepends=True)
    odd = rng.choice(
        (b"\n", b"null\n", b"[]\n", b"{}\n", bytes(512), b"[" * 100_000 + b"\n", b"x" * LONG + b"\n", b"{")
    )
    lines.insert(rng.randrange(len(lines) + 1), odd)
    return Mutation("line inserted", b"".join(lines))


def seal_journal(source: Source, rng: random.Random) -> Mutation | None:
    """Returns a journal that was edited, with seals that fit, and no head beside it."""
    records = [json.loads(line) for line in source.content.splitlines()]
    for record in records:
        record.pop("chain", None)
    done = edited_value(records, rng)
    if done is None or not all(isinstance(record, dict) for record in records):
        return None
    lines, seal = [], START
    for record in records:
        line, seal = sealed_line(record, seal)
        lines.append(line)
    return Mutation(f"{done[0]}, sealed", b"".join(lines), sealed=True, without=(".head",))


def seal_lines(source: Source, rng: random.Random) -> Mutation | None:
    """Returns a cache that was edited, with checksums that fit."""
    records = [json.loads(line) for line in source.content.splitlines()]
    for record in records:
        record.pop("check", None)
    done = edited_value(records, rng)
    if done is None or not all(isinstance(record, dict) for record in records):
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / source.name
        try:
            for record in records:
                JsonLines(path).append(record)
        except ValueError:  # NaN
            return None
        content = path.read_bytes() if path.exists() else b""
    return Mutation(f"{done[0]}, sealed", content, sealed=True)


LINES: tuple[Mutator, ...] = (rearrange, rearrange, rearrange, edit_line, edit_line, put_line)
JOURNAL: tuple[Mutator, ...] = (*LINES, seal_journal, seal_journal)
CACHE: tuple[Mutator, ...] = (*LINES, seal_lines, seal_lines)


def _rearranged(lines: list[bytes], source: Source, rng: random.Random) -> str | None:
    """What was done to the lines, which are changed; None where there are too few."""
    if len(lines) < 2:
        return None
    first, second = rng.sample(range(len(lines)), 2)
    kind = rng.choice(("deleted", "doubled", "swapped", "moved", "reversed", "of another file"))
    if kind == "deleted":
        del lines[first : first + rng.choice((1, 1, 3, 20))]
    elif kind == "doubled":
        lines.insert(second, lines[first])
    elif kind == "swapped":
        lines[first], lines[second] = lines[second], lines[first]
    elif kind == "moved":
        lines.insert(second, lines.pop(first))
    elif kind == "reversed":
        lines.reverse()
    else:
        lines[first : first + 1] = [rng.choice(source.other.splitlines(keepends=True) or [b""])]
    return f"lines {kind}"
