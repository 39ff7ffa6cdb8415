"""Cells: results of single runs in a JSON file, skipped when they are there; and the program that measures seeds."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

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


def measure_seeds(
    results: Path,
    measured: Callable[[int], dict[str, Any]],
    table: Callable[[list[dict[str, Any]]], str],
    **keys: Any,
) -> None:
    """Measures the seeds that `results` lacks and prints the table of all; the command line is --seeds and --results.

    `measured` returns the figures of a seed, `keys` name the row beside it.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=results)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cells = Cells(arguments.results)
    for seed in range(arguments.seeds):
        cells.run(partial(measured, seed), **keys, seed=seed)
    print(table(cells.rows()))


def mean_spread(values: Sequence[float], digits: int = 2) -> str:
    """Returns "mean ± sample standard deviation"."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}" if values else "-"
    return f"{statistics.fmean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def paired(
    rows: Sequence[dict[str, Any]], key: str, name: Any, control: Any, seeds: Collection[int] | None = None
) -> str:
    """Returns "mean ± standard error" of the difference in error to the control of the same seed.

    `key` is what names the rows, such as "level". `seeds` leaves others out; None: all that both have.
    """
    errors = [{row["seed"]: row["error"] for row in rows if row.get(key) == which} for which in (name, control)]
    both = sorted(seed for seed in errors[0].keys() & errors[1].keys() if seeds is None or seed in seeds)
    differences = [errors[0][seed] - errors[1][seed] for seed in both]
    if len(differences) < 2:
        return f"{differences[0]:+.2f}" if differences else "-"
    deviation = statistics.stdev(differences) / len(differences) ** 0.5
    return f"{statistics.fmean(differences):+.3f} ± {deviation:.3f}"


def column(rows: Sequence[dict[str, Any]], name: str, **keys: Any) -> list[float]:
    """Returns one figure of every row with these keys."""
    return [row[name] for row in rows if all(row.get(key) == value for key, value in keys.items())]


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table."""
    table = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in table)
