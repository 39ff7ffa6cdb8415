"""Plotly figures as plain dictionaries: their common style and shared parts, and the axis of a metric (ScoreAxis).

Colors are names from `search.report.document`, which the page replaces for light and dark mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from search.run.scores import MetricFacts
from search.text import ms_text

Figure = dict[str, Any]
Coordinates = Iterable[float | str | None]  # None interrupts a line
LETTER, AROUND = 8, 150  # pixels: a letter of an axis title, about; what is above and below the axis
LABEL_ROWS = 4  # of limits, so that close ones do not cover each other on a small screen
FONT = "Inter, ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
MARGIN = 0.06  # fraction of the range
TICKS = (0, 20, 40, 50, 60, 70, 75, 80, 85, 90, 92, 94, 95, 96, 97, 98, 98.5, 99, 99.5, 99.8, 99.9)  # %
STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)  # of ticks on a logarithmic axis, times powers of ten
MOST_TICKS = 6
FEW = 200  # points; more are drawn smaller
WIDE = 20.0  # the factor between the largest and the least value from which an axis is logarithmic


def layout(x: str, y: str, height: int) -> Figure:
    """Returns the layout of a figure with axes of these titles, `height` pixels high."""
    return {
        "height": height,
        "margin": {"l": 56, "r": 24, "t": 44, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": "$muted"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "$faint", "activecolor": "$ink"},
        "legend": {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
        "hoverlabel": {"bgcolor": "$card", "bordercolor": "$grid", "align": "left"}
        | {"font": {"family": FONT, "size": 12, "color": "$ink"}},
        "xaxis": axis(x),
        "yaxis": axis(_on_lines(y, height)),
    }


def _on_lines(title: str, height: int) -> str:
    """The title of an upright axis, which goes on in a second line where it is longer than the axis."""
    return title.replace(" (", "<br>(") if LETTER * len(title) > height - AROUND else title


def axis(title: str) -> Figure:
    """Returns an axis with a title."""
    return {
        "title": {"text": title, "standoff": 10},
        "gridcolor": "$grid",
        "linecolor": "$grid",
        "zeroline": False,
        "automargin": True,
        "ticks": "outside",
        "tickcolor": "$grid",
    }


def small(figure: Figure) -> Figure:
    """Returns a figure for a grid of several: smaller text, and no buttons over its points."""
    frame = figure["layout"]
    axes = {
        name: frame[name]
        | {"title": frame[name]["title"] | {"font": {"size": 12}}, "tickfont": {"size": 11.5}, "fixedrange": True}
        for name in ("xaxis", "yaxis")
    }
    return figure | {"layout": frame | axes, "config": {"displayModeBar": False}}


def markers(name: str, x: Coordinates, y: Coordinates, texts: Iterable[str], **marker: Any) -> Figure:
    """Returns a trace of points, each with its text as tooltip; `marker` is Plotly's."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": list(x),
        "y": list(y),
        "text": list(texts),
        "hovertemplate": "%{text}<extra></extra>",
        "marker": marker,
    }


def lines(name: str, x: Coordinates, y: Coordinates, **line: Any) -> Figure:
    """Returns a trace of lines; `line` is Plotly's."""
    return {"type": "scatter", "mode": "lines", "name": name, "x": list(x), "y": list(y), "line": line}


def drawn(traces: Iterable[Figure], frame: Figure) -> Figure:
    """Returns the figure of a layout and the traces that have points."""
    return {"data": [trace for trace in traces if trace["x"]], "layout": frame}


def arch_text(arch: Mapping[str, int], per_line: int = 4) -> str:
    """Returns the choices of an Arch, a few per line, cut short if there are very many."""
    items = [f"{escape(key)}={value}" for key, value in arch.items()]
    items_shown = items if len(items) <= 32 else [*items[:32], f"... {len(items) - 32} more"]
    return "<br>".join(
        ", ".join(items_shown[start : start + per_line]) for start in range(0, len(items_shown), per_line)
    )


def logarithmic(axis: Figure, values: Iterable[float], text: Callable[[float], str]) -> Figure:
    """Returns an axis that is logarithmic, with ticks at 1, 2, 5, 10, ... around positive values; `text` names them.

    Values that are close to each other have ticks between, or at their ends.
    """
    known = list(values)
    low, high = min(known), max(known)
    first, last = (math.floor(math.log10(end)) for end in (low, high))
    steps: Sequence[float] = (1, 2, 5) if high >= 10 * low else (1, 1.5, 2, 3, 4, 5, 7)
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps] + [10.0 ** (last + 1)]
    if sum(low <= tick <= high for tick in ticks) < 2:
        ticks = sorted({low, high})
    return axis | {"type": "log", "tickvals": ticks, "ticktext": list(map(text, ticks))}


def with_limits(frame: Figure, limits_ms: Sequence[float]) -> Figure:
    """Returns a layout with latency limits as dashed vertical lines, labeled above it in rows."""
    rows = min(len(limits_ms), LABEL_ROWS)
    return frame | {
        "margin": frame["margin"] | {"t": 38 + 15 * max(rows, 2)},  # labels below the buttons
        "shapes": [_limit_line(limit) for limit in limits_ms],
        "annotations": [_limit_label(limit, index % rows) for index, limit in enumerate(limits_ms)],
    }


def _limit_line(limit_ms: float) -> Figure:
    line = {"color": "$limit", "width": 1.5, "dash": "dash"}
    across = {"type": "line", "x0": limit_ms, "x1": limit_ms, "yref": "paper", "y0": 0, "y1": 1}
    return across | {"line": line, "layer": "below"}


def _limit_label(limit_ms: float, row: int) -> Figure:
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


@dataclass(frozen=True)
class ScoreAxis:
    """An axis of a metric: logarithmic in the error of a fraction, or in values that span decades, else linear.

    Attributes:
        metric: whose values it shows.
        least, most: the range of errors of a fraction, of values otherwise; those beyond are drawn at that end.
    """

    metric: MetricFacts
    least: float
    most: float

    @property
    def logarithmic(self) -> bool:
        """Whether its positions are logarithms."""
        return self.metric.is_fraction or (self.least > 0 and self.most / self.least >= WIDE)

    @property
    def scale(self) -> str:
        """What its scale is, in words, as the end of a note; empty of a linear one."""
        if self.metric.is_fraction:
            return " The scale is logarithmic in the error."
        return " The scale is logarithmic." if self.logarithmic else ""

    def position(self, value: float) -> float:
        """Returns the position of a value of the metric."""
        if self.metric.is_fraction:
            return -math.log10(min(max(1 - value, self.least), self.most))
        inside = min(max(value, self.least), self.most)
        return math.log10(inside) if self.logarithmic else inside

    @property
    def frame(self) -> Figure:
        """The axis in the form of a layout."""
        low, high = sorted(map(self.position, self._ends))
        margin = MARGIN * (high - low) or 0.05 * abs(high) or 1.0
        inside = {"range": [low - margin, high + margin]}
        if not self.logarithmic:
            return inside
        ticks = self._ticks((high - low) / MOST_TICKS)
        return inside | {
            "tickvals": [self.position(tick) for tick in ticks],
            "ticktext": [f"{self.metric.shown(tick):.4g}" for tick in ticks],
        }

    def points(
        self, x: Sequence[float], values: Sequence[float], name: str, color: str, texts: Sequence[str]
    ) -> Figure:
        """Returns a trace of trials: values of the metric, with a text for each below its value."""
        few = len(x) <= FEW
        return markers(
            name,
            x,
            [self.position(value) for value in values],
            [f"{self.metric.text(value)}<br>{text}" for value, text in zip(values, texts, strict=True)],
            color=color,
            size=6 if few else 5,
            opacity=0.6 if few else 0.4,
            line={"width": 0},
        )

    @property
    def _ends(self) -> tuple[float, float]:
        return (1 - self.most, 1 - self.least) if self.metric.is_fraction else (self.least, self.most)

    def _ticks(self, apart: float) -> list[float]:
        """Values to label, at least `apart` from each other; both ends if fewer than two round ones fit."""
        ticks: list[float] = []
        for tick in self._round:
            if not ticks or self.position(tick) - self.position(ticks[-1]) >= apart:
                ticks.append(tick)
        return ticks if len(ticks) > 1 else list(self._ends)

    @property
    def _round(self) -> list[float]:
        """Round values within the range, ascending."""
        if self.metric.is_fraction:
            return [tick / 100 for tick in TICKS if self.least <= 1 - tick / 100 <= self.most]
        powers = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.most)) + 1)
        values = [step * 10.0**power for power in powers for step in STEPS]
        return [value for value in values if self.least <= value <= self.most]


def score_axis(metric: MetricFacts, values: Sequence[float]) -> ScoreAxis:
    """Returns the axis that shows all of these values; of a fraction, 1 is at half the least other error."""
    if not metric.is_fraction:
        return ScoreAxis(metric, min(values, default=0.0), max(values, default=1.0))
    errors = [1 - value for value in values]
    positive = [error for error in errors if error > 0] or [0.01]
    least = min(positive) / 2 if min(errors) <= 0 else min(positive)
    return ScoreAxis(metric, least, max(*positive, 1.05 * least))
