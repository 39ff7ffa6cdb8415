"""Files written completely or not at all, through unpredictable temporary names, as `ofa.paths` does.

Only the standard library: also part of the script that measures on a device without this toolkit.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.device.standalone.rounds import Round

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, so nothing is taken for a leftover
    fcntl = None  # type: ignore[assignment]


def write_whole(path: Path, text: str) -> None:
    """Writes `text` so that a reader, or a kill at any moment, sees the old file or the new one.

    Temporary files left behind by killed writers of the same file are removed.
    """
    remove_unfinished(path)
    descriptor, temporary = create_unfinished(path)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:  # the lock is held until the rename
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            if fcntl is not None:
                os.replace(temporary, path)
        if fcntl is None:  # Windows cannot rename an open file
            os.replace(temporary, path)
    finally:
        if temporary.exists():
            temporary.unlink()


def create_unfinished(path: Path) -> tuple[int, Path]:
    """Returns the descriptor and the name of a new file beside `path`, locked where the system can."""
    while True:
        temporary = path.with_name(f".{path.name}.ofa-{secrets.token_hex(8)}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(str(temporary), flags, 0o666)
        if not locked(descriptor, wait=True) or temporary.exists():
            return descriptor, temporary
        os.close(descriptor)  # another process took it for a leftover before it was locked


def remove_unfinished(path: Path) -> None:
    """Removes the temporary files of `path` whose writers are gone: a running one holds a lock on its file."""
    pattern = re.compile(re.escape(f".{path.name}.ofa-") + r"[0-9a-f]{16}\.tmp")
    if fcntl is None or not path.parent.is_dir():
        return
    for name in os.listdir(path.parent):
        temporary = path.parent / name
        if not pattern.fullmatch(name) or temporary.is_symlink() or not temporary.is_file():
            continue
        try:
            descriptor = os.open(str(temporary), os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if os.fstat(descriptor).st_uid == os.geteuid() and locked(descriptor, wait=False):
                temporary.unlink()
        except FileNotFoundError:
            pass
        finally:
            os.close(descriptor)


def locked(descriptor: int, *, wait: bool) -> bool:
    """Whether this process now holds the lock of a file; False if the system has no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def record_text(kind: str, version: int, content: Mapping[str, Any]) -> str:
    """Returns content as the text of a JSON file: kind, version and checksum first.

    Raises:
        ValueError: a number that is not finite.
    """
    whole = {"kind": kind, "version": version, **content}
    head = {"kind": kind, "version": version, "checksum": content_checksum(whole)}
    return json.dumps({**head, **content}, indent=1, allow_nan=False) + "\n"


def content_checksum(content: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a JSON file's content without its checksum, as `ofa.records` computes it."""
    rest = {key: value for key, value in content.items() if key != "checksum"}
    text = json.dumps(rest, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@dataclass(frozen=True)
class RoundJournal:
    """Rounds in a file of JSON lines; the first line is a digest of what was measured, and how."""

    path: Path
    digest: str

    def begin(self, networks: int) -> list[Round]:
        """Returns the stored rounds of so many networks, none where the digest differs.

        The file then holds exactly those: a torn last line would corrupt the next one.
        """
        rounds = self._read(networks)
        lines = [json.dumps({"digest": self.digest})]
        for visits in rounds:
            lines.append(chained_line(lines[-1], row_of(visits)))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, "".join(line + "\n" for line in lines))
        return rounds

    def append(self, visits: Round) -> None:
        """Appends a round; it is on the disk when this returns."""
        with open(self.path, "r+", encoding="utf-8") as file:
            before = file.read().splitlines()[-1]
            file.write(chained_line(before, row_of(visits)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def remove(self) -> None:
        """Removes the file."""
        if self.path.exists():
            self.path.unlink()

    def _read(self, networks: int) -> list[Round]:
        """The rounds up to the first line that is torn or damaged."""
        try:
            if not self.path.is_file():  # a pipe would be waited for
                return []
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        except OSError:
            return []
        if not lines or parsed(lines[0]) != {"digest": self.digest}:
            return []
        rounds, before = [], lines[0].rstrip("\n")
        for line in lines[1:]:
            row = parsed(line) if line.endswith("\n") else None
            visits = round_of(row, networks)
            if visits is None or line != chained_line(before, row_of(visits)) + "\n":
                break
            rounds.append(visits)
            before = line[:-1]
        return rounds


def row_of(visits: Round) -> dict[str, Any]:
    """Returns a round as JSON-able values."""
    return {
        "times": [list(pair) for pair in visits.times],
        "seconds": visits.seconds,
        "celsius": visits.celsius,
        "interrupted": visits.interrupted,
    }


def chained_line(before: str, row: Mapping[str, Any]) -> str:
    """Returns a row as the line that follows `before`."""
    text = json.dumps(dict(row))
    return json.dumps({**row, "after": hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()[:16]})


def round_of(row: Any, networks: int) -> Round | None:
    """Returns the round that `row_of` wrote of so many networks, None where the row is not valid."""
    if not isinstance(row, dict):
        return None
    times: Any = row.get("times")
    seconds: Any = row.get("seconds")
    celsius: Any = row.get("celsius")
    interrupted: Any = row.get("interrupted")
    if not isinstance(times, list) or len(times) != networks or not all(map(is_pair, times)) or not is_number(seconds):
        return None
    return Round(
        times, float(seconds), *(float(reading) if is_number(reading) else None for reading in (celsius, interrupted))
    )


def is_pair(value: Any) -> bool:
    """Whether a value of JSON is two finite numbers."""
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of many digits
        return False


def parsed(line: str) -> Any:
    """Returns the value of a line of JSON, None where it is not valid."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
