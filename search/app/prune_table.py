"""The table of pruned networks on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from search.report.numbers import count_text, percent_text, signed_points

WIDTHS = (8, 9, 9, 13, 12, 9, 9)  # of the columns of figures; the name comes last
TITLES = ("density", "weights", "kept", "test accuracy", "of dense", "MACs", "slim", "folder")


def print_pruned(cards: Sequence[Mapping[str, Any]], stream: TextIO | None = None, *, header: bool = True) -> None:
    """Prints a line a card, in columns of fixed width, so that later calls without a header continue the table."""
    stream = stream or sys.stdout
    if header:
        print(
            "  ".join([*(title.rjust(width) for title, width in zip(TITLES, WIDTHS, strict=False)), TITLES[-1]]),
            file=stream,
        )
        print("  ".join("─" * width for width in (*WIDTHS, len(TITLES[-1]))), file=stream)
    for card in cards:
        cells = [cell.rjust(width) for cell, width in zip(_cells(card), WIDTHS, strict=True)]
        print("  ".join([*cells, str(card["name"])]), file=stream, flush=True)


def _cells(card: Mapping[str, Any]) -> tuple[str, ...]:
    dense, slim = card["dense"], card["slim"]
    change = None if dense is None else card["accuracy"]["test"] - dense["accuracy"]["test"]
    return (
        percent_text(card["density"]),
        count_text(card["weights"]),
        count_text(card["kept"]),
        percent_text(card["accuracy"]["test"]),
        signed_points(change),
        count_text(card["kept_macs"]),
        "-" if slim is None else count_text(slim["params"]),
    )
