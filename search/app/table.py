"""The table of extracted subnets that `ofa run` ends with."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from search.figures import device_of
from search.report.numbers import bytes_text, count_text, limits_text, ms_text, percent_text
from search.subnet_rows import is_largest, limits_of, times_of

SIZES = {"bytes": "size", "peak_activation_bytes": "activations"}  # shown where they are limited


def print_table(rows: Sequence[Mapping[str, Any]], stream: TextIO | None = None) -> None:
    """Prints a line a subnet, columns aligned; a column of measured ms a device, and those sizes that are limited."""
    stream = stream or sys.stdout
    figures = list(dict.fromkeys(name for row in rows for name in times_of(row)))
    sizes = [name for name in SIZES if any(name in limits_of(row) for row in rows)]
    measured = [f"measured on {device_of(name)}" if device_of(name) else "measured" for name in figures]
    titles = ("limit", *measured, "test accuracy", "MACs", "params", *(SIZES[name] for name in sizes), "file")
    lines = [titles, *(_cells(row, figures, sizes) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    print(file=stream)
    for number, line in enumerate(lines):
        numbers = [cell.rjust(width) for cell, width in zip(line[:-1], widths[:-1], strict=True)]
        print("  ".join([*numbers, line[-1]]).rstrip(), file=stream)
        if number == 0:
            print("  ".join("─" * width for width in widths), file=stream)
    print(file=stream)


def _cells(row: Mapping[str, Any], figures: Sequence[str], sizes: Sequence[str]) -> tuple[str, ...]:
    times = times_of(row)
    return (
        "largest" if is_largest(row) else limits_text(limits_of(row), "") or "none",
        *(ms_text(times.get(name)) for name in figures),
        percent_text(row["accuracy"]["test"]),
        count_text(row["macs"]),
        count_text(row["params"]),
        *(bytes_text(row.get(name)) for name in sizes),
        str(Path(row["folder"]) / "model.onnx") if row["folder"] else "",
    )
