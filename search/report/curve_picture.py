"""The picture of one training as a file of its own: an SVG with a small curve for each of its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

PANEL = 300  # pixels wide
HEIGHT = 200
LEFT, TOP, INSIDE_WIDTH, INSIDE_HEIGHT = 20, 44, 260, 120
STYLE = (
    "text{font:11.5px Helvetica,Arial,sans-serif;fill:#63656e}.name{font-size:14px;fill:#1c1d21}"
    ".axis{stroke:#e6e6e3}.curve{fill:none;stroke:#2f5bea;stroke-width:2}.point{fill:#2f5bea}"
)


def curve_picture(rows: Sequence[Mapping[str, Any]], over: str = "epoch") -> str:
    """Returns an SVG file with a panel for each column of `rows` but `over`, which runs to the right.

    Each panel says the least, the largest and the last value. A row may lack a column; what is no number is left out.
    """
    curves = {
        name: [(float(row.get(over, at)), float(row[name])) for at, row in enumerate(rows) if _is_number(row.get(name))]
        for name in columns(rows)
        if name != over
    }
    curves = {name: points for name, points in curves.items() if points}
    panels = []
    for number, (name, points) in enumerate(curves.items()):
        panels.append(f'<g transform="translate({number * PANEL} 0)">{_panel(name, points, over)}</g>')
    width = PANEL * max(len(curves), 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}">'
        f'<style>{STYLE}</style><rect width="{width}" height="{HEIGHT}" fill="#ffffff"/>{"".join(panels)}</svg>\n'
    )


def columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the names of all columns, in the order in which they come up."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _panel(name: str, points: Sequence[tuple[float, float]], over: str) -> str:
    across, up = [x for x, _ in points], [y for _, y in points]
    placed = [(LEFT + INSIDE_WIDTH * _share(x, across), TOP + INSIDE_HEIGHT * (1 - _share(y, up))) for x, y in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    x, y = placed[-1]
    bottom = TOP + INSIDE_HEIGHT
    return (
        f'<text class="name" x="{LEFT}" y="24">{escape(name)} {up[-1]:.4g}</text>'
        f'<text x="{LEFT + INSIDE_WIDTH}" y="24" text-anchor="end">{min(up):.4g} to {max(up):.4g}</text>'
        f'<path class="axis" d="M{LEFT} {bottom}h{INSIDE_WIDTH}M{LEFT} {TOP}h{INSIDE_WIDTH}"/>'
        f'<polyline class="curve" points="{line}"/><circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
        f'<text x="{LEFT}" y="{bottom + 18}">{escape(over)} {min(across):g}</text>'
        f'<text x="{LEFT + INSIDE_WIDTH}" y="{bottom + 18}" text-anchor="end">{max(across):g}</text>'
    )


def _share(value: float, values: Sequence[float]) -> float:
    """Where a value lies between the least and the largest, 0 to 1; the middle where they are the same."""
    low, high = min(values), max(values)
    return (value - low) / (high - low) if high > low else 0.5
