"""Plotly figures as plain dictionaries. "$name" colours are filled in by the page, for light and for dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from search.report.data import Anchor, Chosen

Figure = dict[str, Any]
FONT = "Inter, ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def training_figure(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Returns accuracy of the largest and the smallest subnet, and the loss, over epochs."""
    traces = []
    for key, name, colour in (
        ("accuracy_largest", "largest subnet", "$accent"),
        ("accuracy_smallest", "smallest subnet", "$second"),
    ):
        rows = [row for row in history if row.get(key) is not None]
        traces.append(_line(rows, key, name, colour, 100.0) | {"hovertemplate": "epoch %{x}: %{y:.2f} %"})
    losses = [row for row in history if row.get("loss") is not None]
    traces.append(
        _line(losses, "loss", "training loss", "$faint", 1.0)
        | {"yaxis": "y2", "hovertemplate": "epoch %{x}: %{y:.3f}", "mode": "lines"}
    )
    frame = layout("epoch", "validation accuracy, %", height=360)
    frame["yaxis2"] = _axis("loss") | {"overlaying": "y", "side": "right", "showgrid": False}
    frame["yaxis2"] |= {"rangemode": "tozero", "tickmode": "auto", "nticks": 6}
    frame["hovermode"] = "x"
    return {"data": [trace for trace in traces if len(trace["x"])], "layout": frame}


def latency_figure(anchors: Sequence[Anchor], chosen: Sequence[Chosen]) -> Figure:
    """Returns predicted over measured latency: the profile's subnets, held out, and the finalists."""
    pairs = [(anchor.measured_ms, anchor.predicted_ms, arch_text(anchor.arch)) for anchor in anchors]
    finals = [
        (subnet.measured_ms, subnet.predicted_ms, arch_text(subnet.arch))
        for subnet in chosen
        if subnet.measured_ms is not None and subnet.predicted_ms is not None
    ]
    ends = [value for measured, predicted, _ in [*pairs, *finals] for value in (measured, predicted)] or [
        0.0,
        1.0,
    ]
    low, high = min(ends) * 0.95, max(ends) * 1.05
    diagonal = {
        "type": "scatter",
        "x": [low, high],
        "y": [low, high],
        "mode": "lines",
        "hoverinfo": "skip",
    } | {
        "line": {"color": "$faint", "width": 1.5, "dash": "dot"},
        "name": "exact",
    }
    traces = [
        diagonal,
        _pairs("profiled subnets, held out", pairs, "$dot", "circle", 8),
        _pairs("finalists", finals, "$star", "star", 15),
    ]
    frame = layout("measured, ms", "predicted, ms", height=420)
    return {"data": [trace for trace in traces if len(trace["x"])], "layout": frame}


def _pairs(name: str, pairs: Sequence[tuple[float, float, str]], colour: str, symbol: str, size: int) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [measured for measured, _, _ in pairs],
        "y": [predicted for _, predicted, _ in pairs],
        "text": [text for _, _, text in pairs],
        "hovertemplate": "measured %{x:.4g} ms, predicted %{y:.4g} ms<br>%{text}<extra></extra>",
        "marker": {"color": colour, "symbol": symbol, "size": size, "opacity": 0.9, "line": {"width": 0}},
    }


def _line(rows: Sequence[Mapping[str, Any]], key: str, name: str, colour: str, factor: float) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(rows) < 40 else "lines",
        "name": name,
        "x": [row.get("epoch") for row in rows],
        "y": [factor * float(row[key]) for row in rows],
        "line": {"color": colour, "width": 2.2},
        "marker": {"size": 4},
    }


def arch_text(arch: Mapping[str, int], per_line: int = 4) -> str:
    """The choices of an Arch, a few a line, shortened where there are very many."""
    items = [f"{escape(key)}={value}" for key, value in arch.items()]
    shown = items if len(items) <= 32 else [*items[:32], f"... {len(items) - 32} more"]
    return "<br>".join(", ".join(shown[start : start + per_line]) for start in range(0, len(shown), per_line))


def _axis(title: str) -> Figure:
    return {
        "title": {"text": title, "standoff": 10},
        "gridcolor": "$grid",
        "linecolor": "$grid",
        "zeroline": False,
        "automargin": True,
        "ticks": "outside",
        "tickcolor": "$grid",
    }


def layout(x: str, y: str, height: int) -> Figure:
    """Returns the layout of a figure with axes of these titles, `height` pixels high."""
    return {
        "height": height,
        "margin": {"l": 56, "r": 24, "t": 44, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": "$muted"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "$faint", "activecolor": "$ink"},
        "legend": {"orientation": "h", "y": -0.2, "x": 0},
        "hoverlabel": {"bgcolor": "$card", "bordercolor": "$grid", "align": "left"}
        | {"font": {"family": FONT, "size": 12, "color": "$ink"}},
        "xaxis": _axis(x),
        "yaxis": _axis(y),
    }


def small(figure: Figure) -> Figure:
    """Returns a figure as it stands in a grid beside others: smaller text, and no buttons over its points."""
    frame = figure["layout"]
    axes = {
        name: frame[name]
        | {"title": frame[name]["title"] | {"font": {"size": 12}}, "tickfont": {"size": 11.5}, "fixedrange": True}
        for name in ("xaxis", "yaxis")
    }
    return figure | {"layout": frame | axes, "config": {"displayModeBar": False}}
