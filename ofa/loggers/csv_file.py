"""CsvLogger: one file of comma-separated values for each piece of work."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ofa.loggers.logger import Value, flat
from ofa.paths import write_atomic

STEP = "step"


class CsvLogger:
    """Writes `<folder>/<name>.csv`: a line for each row, a column for each figure, empty where a row lacks it.

    The file is written anew with each row, so that it is whole at any moment and new figures get a column.
    """

    def __init__(self, folder: Path | str, name: str) -> None:
        self.path = Path(folder) / f"{name}.csv"
        self._rows: list[dict[str, Value]] = []

    def open(self, *, fresh: bool) -> int | None:
        """Returns the last step in the file; a `fresh` file replaces it."""
        self._rows = [] if fresh or not self.path.exists() else self._read()
        return max((int(row[STEP]) for row in self._rows), default=None)

    def log(self, step: int, row: Mapping[str, Any]) -> None:
        """Adds a line."""
        self._rows.append({STEP: step} | flat(row) | {STEP: step})
        names = list(dict.fromkeys(name for each in self._rows for name in each))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_atomic(self.path, text.getvalue().encode())

    def close(self) -> None:
        """Does nothing: the file is whole."""

    def _read(self) -> list[dict[str, Value]]:
        with self.path.open(newline="") as file:
            return [{name: value for name, value in row.items() if value != ""} for row in csv.DictReader(file)]
