"""The table of a sweep on the terminal."""

from __future__ import annotations

import sys
from typing import TextIO

from search.report.sweep_data import SweepData
from search.report.sweep_text import TITLES, target_cells


def print_sweep(data: SweepData, stream: TextIO | None = None) -> None:
    """Prints a line a target, columns aligned, and the names of searches that are not finished."""
    stream = stream or sys.stdout
    lines = [TITLES, *(target_cells(target) for target in data.targets)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(TITLES))]
    print(file=stream)
    for number, line in enumerate(lines):
        name, *figures = line
        cells = [name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(figures, widths[1:], strict=True))]
        print("  ".join(cells), file=stream)
        if number == 0:
            print("  ".join("─" * width for width in widths), file=stream)
    if data.unfinished:
        print(f"not finished: {', '.join(data.unfinished)}", file=stream)
    print(file=stream)
