"""The tables that `ofa compare` ends with: every subnet on every device, and each own choice against another's."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from search.compare_words import purposes_text
from search.report.numbers import ms_text, percent_text


def print_comparison(content: Mapping[str, Any], stream: TextIO | None = None) -> None:
    """Prints the content of comparison.json: a line a subnet, a line a pair, and what was found."""
    stream = stream or sys.stdout
    devices = [device["name"] for device in content["devices"]]
    titles = ("subnet", "chosen for", "test accuracy", *devices)
    _print_table(titles, [_subnet(row, devices) for row in content["subnets"]], stream)
    if content["pairs"]:
        _print_table(
            ("on", "limit", "its own", "the other's", "its own is"), list(map(_pair, content["pairs"])), stream
        )
    for device in content["devices"]:
        if device["verdict"] != "ok":
            print(
                f"the measurement on {device['name']} is {device['verdict']}: repeat it on a quiet machine", file=stream
            )
    print(f"\n{content['found']}", file=stream)


def _subnet(row: Mapping[str, Any], devices: Sequence[str]) -> tuple[str, ...]:
    return (
        row["name"],
        purposes_text(row["chosen_for"]) or "to compare with",
        percent_text(row["test_accuracy"]),
        *(_on(row["on"][name]) for name in devices),
    )


def _on(one: Mapping[str, Any]) -> str:
    limits = one["limits"]
    met = sum(limit["met"] for limit in limits)
    share = f"{ms_text(one['ms'])}, {percent_text(one['of_largest'], 0)}"
    return f"{share}, meets {met} of {len(limits)}" if limits else share


def _pair(row: Mapping[str, Any]) -> tuple[str, ...]:
    own, other = (
        f"{row[side]['subnet']}: {ms_text(row[side]['ms'])}, {percent_text(row[side]['accuracy'])}"
        for side in ("own", "other")
    )
    said = row["sense"] if row["better"] else f"{row['sense']}: {row['reason']}"
    return row["device"], f"≤ {ms_text(row['limit_ms'])}", own, f"{other} ({row['other_device']})", said


def _print_table(titles: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO) -> None:
    lines = [titles, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    print(file=stream)
    for number, line in enumerate(lines):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), file=stream)
        if number == 0:
            print("  ".join("─" * width for width in widths), file=stream)
