"""Latency limits as dashed lines across a figure, each with its label above."""

from __future__ import annotations

from collections.abc import Sequence

from search.report.figures import Figure
from search.report.numbers import ms_text


def limit_lines(limits_ms: Sequence[float]) -> Figure:
    """Returns the part of a layout that draws vertical lines at limits; labels of neighbours stand in two rows."""
    return {
        "shapes": [_line(limit) for limit in limits_ms],
        "annotations": [_label(limit, index % 2) for index, limit in enumerate(limits_ms)],
    }


def _line(limit_ms: float) -> Figure:
    line = {"color": "$limit", "width": 1.5, "dash": "dash"}
    across = {"type": "line", "x0": limit_ms, "x1": limit_ms, "yref": "paper", "y0": 0, "y1": 1}
    return across | {"line": line, "layer": "below"}


def _label(limit_ms: float, row: int) -> Figure:
    return {
        "x": limit_ms,
        "yref": "paper",
        "y": 1,
        "yanchor": "bottom",
        "yshift": 15 * row,
        "text": f"≤ {ms_text(limit_ms)}",
        "showarrow": False,
        "font": {"size": 11, "color": "$limit"},
    }
