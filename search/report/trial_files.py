"""The files of a trial for the dashboard: its Arch as picture and JSON, and the curve of its fine-tuning."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from ofa.errors import is_number
from ofa.records import content_of
from ofa.space import Space
from search.candidates.space import Candidate, Evaluation
from search.report.data import Choice
from search.report.document import picture
from search.report.pictures import arch_picture
from search.study.artifacts import PICTURE

PANEL = 300  # pixels wide
PANEL_HEIGHT = 200
LEFT, TOP, INSIDE_WIDTH, INSIDE_HEIGHT = 20, 44, 260, 120


def trial_files(space: Space, candidate: Candidate, evaluation: Evaluation, title: str = "") -> dict[str, str]:
    """Returns the content of the files by name, with curves if the evaluation has a history."""
    choices = [Choice(choice.kind, choice.name, choice.values) for choice in space.choices]
    files = {
        PICTURE: arch_picture(choices, candidate.arch.values, title, candidate.values),
        "arch.json": candidate.arch.to_json(),
    }
    if evaluation.history:
        names = {"value": next(iter(evaluation.scores))}  # the metric's own name
        rows = [{names.get(key, key): value for key, value in content_of(row).items()} for row in evaluation.history]
        files |= {"curve.svg": curve_picture(rows), "curve.csv": _table(rows)}
    return files


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as CSV with a header line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def curve_picture(rows: Sequence[Mapping[str, object]], over: str = "epoch") -> str:
    """Returns an SVG file with a panel for each column of `rows` except `over`, the x axis.

    Each panel shows the least, the largest and the last value. Missing and non-numeric values are left out.
    """
    curves = {
        name: [
            (float(x), float(y))
            for at, row in enumerate(rows)
            if is_number(y := row.get(name)) and is_number(x := row.get(over, at))
        ]
        for name in columns(rows)
        if name != over
    }
    panels = [_panel(name, points) for name, points in curves.items() if points]
    return picture(
        "curves.svg",
        panels=panels,
        over=over,
        panel_width=PANEL,
        width=PANEL * max(len(panels), 1),
        height=PANEL_HEIGHT,
        left=LEFT,
        right=LEFT + INSIDE_WIDTH,
        top=TOP,
        bottom=TOP + INSIDE_HEIGHT,
    )


def columns(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Returns the names of all columns, in order of appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _panel(name: str, points: Sequence[tuple[float, float]]) -> dict[str, object]:
    across, up = [x for x, _ in points], [y for _, y in points]
    pixels = [
        f"{LEFT + INSIDE_WIDTH * _share(x, across):.1f},{TOP + INSIDE_HEIGHT * (1 - _share(y, up)):.1f}"
        for x, y in points
    ]
    return {
        "name": f"{name} {up[-1]:.4g}",
        "range": f"{min(up):.4g} to {max(up):.4g}",
        "first": f"{min(across):g}",
        "last": f"{max(across):g}",
        "points": " ".join(pixels),
        "end": pixels[-1].split(","),
    }


def _share(value: float, values: Sequence[float]) -> float:
    """The position of a value between the least and the largest, 0 to 1; the middle if they are equal."""
    low, high = min(values), max(values)
    return (value - low) / (high - low) if high > low else 0.5
