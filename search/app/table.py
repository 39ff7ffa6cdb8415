"""The table of extracted subnets that `ofa run` ends with."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from search.report.numbers import count_text, ms_text, percent_text

TITLES = ("limit", "measured", "test accuracy", "MACs", "params", "file")


def print_table(rows: Sequence[Mapping[str, Any]], stream: TextIO | None = None) -> None:
    """Prints a line a subnet, columns aligned."""
    stream = stream or sys.stdout
    lines = [TITLES, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(TITLES))]
    print(file=stream)
    for number, line in enumerate(lines):
        numbers = [cell.rjust(width) for cell, width in zip(line[:-1], widths[:-1], strict=True)]
        print("  ".join([*numbers, line[-1]]).rstrip(), file=stream)
        if number == 0:
            print("  ".join("─" * width for width in widths), file=stream)
    print(file=stream)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        "largest" if row["limit_ms"] is None else ms_text(row["limit_ms"]),
        ms_text(row["measured_ms"]),
        percent_text(row["accuracy"]["test"]),
        count_text(row["macs"]),
        count_text(row["params"]),
        str(Path(row["folder"]) / "model.onnx") if row["folder"] else "",
    )
