"""A journal of rounds: one line each, so that a measurement that was cut off goes on with what it has.

Only the standard library: also part of the script that measures on a device without this toolkit.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.device.standalone.rounds import Round


@dataclass(frozen=True)
class RoundJournal:
    """Rounds in a file of JSON lines, the first of which says by a digest what was measured, and how."""

    path: Path
    digest: str

    def begin(self, networks: int) -> list[Round]:
        """Returns the rounds of so many networks that are there, none where the digest is another.

        The file holds exactly them afterwards: a torn last line would spoil the next one.
        """
        rounds = self._read(networks)
        lines = [{"digest": self.digest}, *(row_of(one) for one in rounds)]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        os.replace(temporary, self.path)
        return rounds

    def append(self, one: Round) -> None:
        """Writes a round down; it is on the disk when this comes back."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row_of(one)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def remove(self) -> None:
        """Removes the file."""
        if self.path.exists():
            self.path.unlink()

    def _read(self, networks: int) -> list[Round]:
        """The rounds up to the first line that is torn or damaged."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        except OSError:
            return []
        if not lines or parsed(lines[0]) != {"digest": self.digest}:
            return []
        rounds = []
        for line in lines[1:]:
            one = round_of(parsed(line), networks) if line.endswith("\n") else None
            if one is None:
                break
            rounds.append(one)
        return rounds


def row_of(one: Round) -> dict[str, Any]:
    """Returns a round as JSON-able values."""
    return {
        "times": [list(pair) for pair in one.times],
        "seconds": one.seconds,
        "celsius": one.celsius,
        "interrupted": one.interrupted,
    }


def round_of(row: Any, networks: int) -> Round | None:
    """Returns the round that `row_of` wrote of so many networks, None where it is none."""
    if not isinstance(row, dict):
        return None
    times: Any = row.get("times")
    seconds: Any = row.get("seconds")
    celsius: Any = row.get("celsius")
    interrupted: Any = row.get("interrupted")
    if not isinstance(times, list) or len(times) != networks or not all(map(is_pair, times)) or not is_number(seconds):
        return None
    return Round(times, float(seconds), *(float(one) if is_number(one) else None for one in (celsius, interrupted)))


def is_pair(value: Any) -> bool:
    """Whether a value of JSON is two finite numbers."""
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def parsed(line: str) -> Any:
    """Returns what a line of JSON holds, None where it is none."""
    try:
        return json.loads(line)
    except ValueError:
        return None
