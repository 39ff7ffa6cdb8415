"""Cells: results of single runs in a JSON file, skipped when they are there."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.paths import write_json


@dataclass(frozen=True)
class Cells:
    """One experiment's rows, each named by a few keys."""

    file: Path

    def rows(self) -> list[dict[str, Any]]:
        """Returns what has been measured."""
        return json.loads(self.file.read_text()) if self.file.exists() else []

    def find(self, **keys: Any) -> dict[str, Any] | None:
        """Returns the row with these keys, if it is there."""
        return next((row for row in self.rows() if all(row.get(name) == key for name, key in keys.items())), None)

    def find_all(self, **keys: Any) -> list[dict[str, Any]]:
        """Returns the rows with these keys."""
        return [row for row in self.rows() if all(row.get(name) == key for name, key in keys.items())]

    def run(self, measure: Callable[[], dict[str, Any]], **keys: Any) -> dict[str, Any]:
        """Returns the row of these keys, measured and kept if it is not there."""
        found = self.find(**keys)
        if found is None:
            started = time.process_time()
            found = {**keys, **measure(), "cpu_seconds": 0.0}
            found["cpu_seconds"] = round(time.process_time() - started, 1)
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.file, [*self.rows(), found])  # read anew: another process may have added rows
            print(self.file.stem, found, flush=True)
        return found


def mean_spread(values: Sequence[float], digits: int = 2) -> str:
    """Returns "mean ± sample standard deviation"."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}" if values else "-"
    return f"{statistics.fmean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def column(rows: Sequence[dict[str, Any]], name: str, **keys: Any) -> list[float]:
    """Returns one figure of every row with these keys."""
    return [row[name] for row in rows if all(row.get(key) == value for key, value in keys.items())]


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table."""
    table = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in table)
