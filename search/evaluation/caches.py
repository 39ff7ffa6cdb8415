"""The caches of scores and fine-tunings on disk: JSON lines that several processes may append to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import Hex, NotNegative, Object, Part, content_of, convert, parse_json
from search.candidates.space import Evaluation, TuningEpoch
from search.run.progress import say
from search.run.scores import Values


class CachedScores(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that are read from a line of the cache."""

    digest: Hex
    scores: Annotated[Values, Meta(min_length=1)]


class ScoreCache:
    """Scores by Arch in a file that several processes may append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = JsonLines(path)
        self._known: dict[str, Values] = {}

    def get(self, arch: Arch) -> Values | None:
        """Returns the scores of `arch`, or None if no process has written it yet."""
        if arch.digest not in self._known:
            self._read_new()
        return self._known.get(arch.digest)

    def put(self, arch: Arch, evaluation: Evaluation) -> None:
        """Appends the scores of `arch`."""
        outcome = {"scores": msgspec.to_builtins(evaluation.scores), "seconds": evaluation.seconds}
        self._file.append({"digest": arch.digest, **outcome, "arch": arch.to_dict()})
        self._known[arch.digest] = evaluation.scores

    def __len__(self) -> int:
        self._read_new()
        return len(self._known)

    def _read_new(self) -> None:
        """Reads the lines that were appended since the last call."""
        for record in self._file.fresh():
            with suppress(msgspec.ValidationError):
                known = msgspec.convert(record, CachedScores)
                self._known[known.digest] = known.scores


class CachedTuning(Part, frozen=True, kw_only=True):
    """A line of the cache of fine-tunings.

    Attributes:
        digest: of everything that determines the evaluation.
        scores: on validation by metric, the objective first.
        seconds: how long the fine-tuning took.
    """

    digest: Hex
    scores: Annotated[Values, Meta(min_length=1)]
    seconds: NotNegative
    figures: Mapping[str, NotNegative]
    history: tuple[TuningEpoch, ...]


class TunedCache:
    """Evaluations by a digest of everything that determines them, in a file that several processes may append to."""

    def __init__(self, path: Path) -> None:
        self._file = JsonLines(path)
        self._known: dict[str, Evaluation] = {}

    def get(self, digest: str) -> Evaluation | None:
        """Returns the evaluation, or None if no process has written it yet."""
        if digest not in self._known:
            for record in self._file.fresh():
                with suppress(InvalidInput):
                    known = convert(record, CachedTuning, "a line of the cache")
                    self._known[known.digest] = Evaluation(
                        scores=known.scores,
                        seconds=0.0,
                        cached=True,
                        figures=known.figures,
                        history=known.history,
                    )
        return self._known.get(digest)

    def put(self, digest: str, evaluation: Evaluation) -> None:
        """Appends a complete evaluation."""
        line = CachedTuning(
            digest=digest,
            scores=evaluation.scores,
            seconds=evaluation.seconds,
            figures=evaluation.figures,
            history=evaluation.history,
        )
        self._file.append(content_of(line))


CHECK = "check"  # the last key of a line: a digest of the line's contents and of the file's name

LONGEST_LINE = 16 * 2**20  # bytes

MOST_BYTES = 2**30


class JsonLines:
    """A file of records.

    Each line is written in one call at the end of the file, so lines never mix; a line cut short by a crash is ignored.
    A line that is not what was written to a file of this name counts as absent; a message says so once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0  # bytes
        self._reported = False

    def append(self, record: Object) -> None:
        """Appends a record."""
        body = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()[:-1]
        line = body + self._ending(body)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o644)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, (b"\n" if torn else b"") + line)
        finally:
            os.close(descriptor)

    def fresh(self) -> Iterator[dict[str, Any]]:
        """Yields the complete records that were appended since the last call.

        Raises:
            InvalidInput: the path is not a file, or the file is larger than any the toolkit writes.
        """
        if not self.path.exists():
            return
        if not self.path.is_file():
            raise InvalidInput(f"{self.path} is no file; move it away")
        if (size := self.path.stat().st_size) > MOST_BYTES:
            raise InvalidInput(f"{self.path} has {size / 2**20:,.0f} MB, and {MOST_BYTES >> 20} is the most; delete it")
        with open(self.path, "rb") as file:
            file.seek(self._read)
            while (line := file.readline(LONGEST_LINE)).endswith(b"\n"):
                self._read += len(line)
                record = self._record(line)
                if record is not None:
                    yield record
                elif line != b"\n" and not self._reported:
                    self._reported = True
                    say(f"cache: {self.path} has lines that are damaged or were edited: evaluated again")

    def _record(self, line: bytes) -> dict[str, Any] | None:
        """The record of a line, None where the line is not one that `append` wrote to this file."""
        start = line.rfind(f',"{CHECK}":'.encode())
        if start < 0 or line[start:] != self._ending(line[:start]):
            return None
        try:
            record = parse_json(line, self.path)
        except InvalidInput:  # not as `append` writes it, though its checksum fits
            return None
        del record[CHECK]
        return dict(record)

    def _ending(self, body: bytes) -> bytes:
        digest = hashlib.blake2b(self.path.name.encode() + b"\n" + body, digest_size=8).hexdigest()
        return f',"{CHECK}":"{digest}"}}\n'.encode()
