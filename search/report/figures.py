"""Plotly figures as plain dictionaries. "$name" colours are filled in by the page, for light and for dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from search.report.data import Anchor, Chosen, DeviceResult, Trial
from search.report.numbers import count_text, ms_text, percent_text

Figure = dict[str, Any]
FONT = "Inter, ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def pareto_figure(device: DeviceResult) -> Figure:
    """Returns accuracy over latency: every trial, the front, the limits, the chosen subnets by measurement."""
    known = [trial for trial in device.trials if trial.accuracy is not None and trial.latency_ms is not None]
    refused = [trial for trial in device.trials if trial.accuracy is None and trial.latency_ms is not None]
    front = pareto_front([trial for trial in known if trial.feasible])
    over = [trial for trial in known if not trial.feasible]
    traces = [
        _points("trials", [trial for trial in known if trial.feasible], "$dot", "circle", 7, 0.75),
        _points("over the limit", over, "$faint", "x", 7, 0.9),
        _points("front", front, "$accent", "circle", 7, 1.0)
        | {"mode": "lines+markers", "line": {"color": "$accent", "width": 2, "shape": "hv"}},
        _refused(refused),
        *_chosen_traces(device),
    ]
    layout = _layout("latency, ms (batch 1)", "validation accuracy, %", height=520)
    layout["yaxis"] |= {"domain": [0.1, 1.0] if refused else [0.0, 1.0], **_accuracy_range(known, device)}
    if refused:
        layout["yaxis2"] = {"domain": [0.0, 0.055], "visible": False, "range": [-1, 1], "fixedrange": True}
        layout["xaxis"]["anchor"] = "y2"
    limits = [subnet.limit_ms for subnet in device.chosen if subnet.limit_ms is not None]
    layout["shapes"] = [
        {"type": "line", "x0": limit, "x1": limit, "yref": "paper", "y0": 0, "y1": 1}
        | {"line": {"color": "$limit", "width": 1.5, "dash": "dash"}, "layer": "below"}
        for limit in limits
    ]
    layout["annotations"] = [
        {"x": limit, "yref": "paper", "y": 1, "text": f"≤ {ms_text(limit)}", "showarrow": False}
        | {"yanchor": "bottom", "font": {"size": 11, "color": "$limit"}}
        for limit in limits
    ]
    return {"data": [trace for trace in traces if len(trace["x"])], "layout": layout}


def pareto_front(trials: Iterable[Trial]) -> list[Trial]:
    """Returns the trials that no other one beats in both latency and accuracy, fastest first."""
    front: list[Trial] = []
    best = float("-inf")
    for trial in sorted(trials, key=lambda trial: (trial.latency_ms or 0.0, -(trial.accuracy or 0.0))):
        if trial.accuracy is not None and trial.accuracy > best:
            front.append(trial)
            best = trial.accuracy
    return front


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
    layout = _layout("epoch", "validation accuracy, %", height=360)
    layout["yaxis2"] = _axis("loss") | {"overlaying": "y", "side": "right", "showgrid": False}
    layout["yaxis2"] |= {"rangemode": "tozero", "tickmode": "auto", "nticks": 6}
    layout["hovermode"] = "x"
    return {"data": [trace for trace in traces if len(trace["x"])], "layout": layout}


def latency_figure(anchors: Sequence[Anchor], chosen: Sequence[Chosen]) -> Figure:
    """Returns predicted over measured latency: the profile's subnets held out of the fit, and the finalists."""
    pairs = [(anchor.measured_ms, anchor.predicted_ms, _arch_text(anchor.arch)) for anchor in anchors]
    finals = [
        (subnet.measured_ms, subnet.predicted_ms, _arch_text(subnet.arch))
        for subnet in chosen
        if subnet.measured_ms is not None and subnet.predicted_ms is not None
    ]
    ends = [value for measured, predicted, _ in [*pairs, *finals] for value in (measured, predicted)] or [0.0, 1.0]
    low, high = min(ends) * 0.95, max(ends) * 1.05
    diagonal = {"type": "scatter", "x": [low, high], "y": [low, high], "mode": "lines", "hoverinfo": "skip"} | {
        "line": {"color": "$faint", "width": 1.5, "dash": "dot"},
        "name": "exact",
    }
    traces = [
        diagonal,
        _pairs("profiled subnets, held out", pairs, "$dot", "circle", 8),
        _pairs("finalists", finals, "$star", "star", 15),
    ]
    layout = _layout("measured, ms", "predicted, ms", height=420)
    return {"data": [trace for trace in traces if len(trace["x"])], "layout": layout}


def _points(name: str, trials: Sequence[Trial], colour: str, symbol: str, size: int, opacity: float) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [trial.latency_ms for trial in trials],
        "y": [100 * (trial.accuracy or 0.0) for trial in trials],
        "text": [_trial_text(trial) for trial in trials],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": colour, "symbol": symbol, "size": size, "opacity": opacity, "line": {"width": 0}},
    }


def _refused(trials: Sequence[Trial]) -> Figure:
    """Candidates predicted over the limit have no accuracy: ticks below the plot."""
    return _points("over the limit, not evaluated", trials, "$faint", "line-ns", 9, 0.9) | {
        "y": [0.0] * len(trials),
        "yaxis": "y2",
        "marker": {"symbol": "line-ns", "size": 9, "line": {"width": 1.2, "color": "$faint"}},
    }


def _chosen_traces(device: DeviceResult) -> list[Figure]:
    """Stars where the chosen subnets were measured, each tied to where the model had put it."""
    subnets = [subnet for subnet in device.chosen if subnet.measured_ms is not None and _height(subnet) is not None]
    x: list[float | None] = []
    y: list[float | None] = []
    for subnet in subnets:
        x += [subnet.predicted_ms, subnet.measured_ms, None]
        y += [_height(subnet), _height(subnet), None]
    ties = {"type": "scatter", "mode": "lines", "x": x, "y": y, "hoverinfo": "skip", "showlegend": False} | {
        "line": {"color": "$star", "width": 1.5, "dash": "dot"}
    }
    traces = [ties, _stars("chosen, as measured", subnets, "star", "$star", 17)]
    if device.largest is not None and device.largest.measured_ms is not None and _height(device.largest) is not None:
        traces.append(_stars("largest, as measured", [device.largest], "diamond", "$second", 11))
    return traces


def _stars(name: str, subnets: Sequence[Chosen], symbol: str, colour: str, size: int) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [subnet.measured_ms for subnet in subnets],
        "y": [_height(subnet) for subnet in subnets],
        "text": [_chosen_text(subnet) for subnet in subnets],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": colour, "symbol": symbol, "size": size, "line": {"width": 1.5, "color": "$page"}},
    }


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


def _height(subnet: Chosen) -> float | None:
    return None if subnet.validation_accuracy is None else 100 * subnet.validation_accuracy


def _accuracy_range(known: Sequence[Trial], device: DeviceResult) -> Figure:
    """The y range that shows the better nine tenths of the trials; a few failures would flatten the rest."""
    heights = sorted(100 * trial.accuracy for trial in known if trial.accuracy is not None)
    if len(heights) < 20:
        return {}
    marked = [_height(subnet) for subnet in (*device.chosen, device.largest) if subnet is not None]
    low = min([heights[len(heights) // 10], *(height for height in marked if height is not None)])
    high = max([heights[-1], *(height for height in marked if height is not None)])
    margin = max(0.06 * (high - low), 0.05)
    return {"range": [low - margin, high + 1.5 * margin]}


def _trial_text(trial: Trial) -> str:
    accuracy = "not evaluated" if trial.accuracy is None else percent_text(trial.accuracy)
    head = f"<b>trial {trial.number}</b>  {accuracy}, {ms_text(trial.latency_ms)} predicted"
    return f"{head}<br>{count_text(trial.macs)} MACs, {count_text(trial.params)} parameters<br>{_arch_text(trial.arch)}"


def _chosen_text(subnet: Chosen) -> str:
    limit = "largest" if subnet.limit_ms is None else f"limit {ms_text(subnet.limit_ms)}"
    test = f", {percent_text(subnet.test_accuracy)} on test" if subnet.test_accuracy is not None else ""
    head = f"<b>{limit}</b>  {ms_text(subnet.measured_ms)} measured, {ms_text(subnet.predicted_ms)} predicted{test}"
    return f"{head}<br>{count_text(subnet.macs)} MACs, {count_text(subnet.params)} parameters"


def _arch_text(arch: Mapping[str, int], per_line: int = 4) -> str:
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


def _layout(x: str, y: str, height: int) -> Figure:
    return {
        "height": height,
        "margin": {"l": 56, "r": 24, "t": 34, "b": 48},
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
