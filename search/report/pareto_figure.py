"""The Pareto figure: accuracy over latency, of every trial and of the chosen subnets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from search.report.data import Chosen, DeviceResult, Trial
from search.report.figures import Figure, arch_text, layout
from search.report.limit_lines import limit_lines
from search.report.numbers import count_text, limits_text, ms_text, percent_text


def pareto_figure(device: DeviceResult) -> Figure:
    """Returns accuracy over latency: every trial, the front, the limits, the chosen subnets as measured.

    Latencies and their limits are those of the search's first device.
    """
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
    where = f" on {device.device}" if device.others else ""
    frame = layout(f"latency{escape(where)}, ms (batch 1)", "validation accuracy, %", height=520)
    frame["yaxis"] |= {"domain": [0.1, 1.0] if refused else [0.0, 1.0], **_accuracy_range(known, device)}
    if refused:
        frame["yaxis2"] = {"domain": [0.0, 0.055], "visible": False, "range": [-1, 1], "fixedrange": True}
        frame["xaxis"]["anchor"] = "y2"
    limits = [subnet.limit_ms for subnet in device.chosen if subnet.limit_ms is not None]
    frame |= limit_lines(limits)
    return {"data": [trace for trace in traces if len(trace["x"])], "layout": frame}


def pareto_front(trials: Iterable[Trial]) -> list[Trial]:
    """Returns the trials that no other one beats in both latency and accuracy, fastest first."""
    front: list[Trial] = []
    best = float("-inf")
    for trial in sorted(trials, key=lambda trial: (trial.latency_ms or 0.0, -(trial.accuracy or 0.0))):
        if trial.accuracy is not None and trial.accuracy > best:
            front.append(trial)
            best = trial.accuracy
    return front


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
        traces.append(_stars("largest, as measured", [device.largest], "diamond", "$second", 11, "largest"))
    return traces


def _stars(name: str, subnets: Sequence[Chosen], symbol: str, colour: str, size: int, title: str = "") -> Figure:
    """Chosen subnets; each is told by its limits where there is no `title`."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [subnet.measured_ms for subnet in subnets],
        "y": [_height(subnet) for subnet in subnets],
        "text": [_chosen_text(subnet, title or limits_text(subnet.limits) or "no limit") for subnet in subnets],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": colour, "symbol": symbol, "size": size, "line": {"width": 1.5, "color": "$page"}},
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
    sizes = f"{count_text(trial.macs)} MACs, {count_text(trial.params)} parameters"
    return f"{head}<br>{sizes}<br>{arch_text(trial.arch)}"


def _chosen_text(subnet: Chosen, title: str) -> str:
    test = f", {percent_text(subnet.test_accuracy)} on test" if subnet.test_accuracy is not None else ""
    times = f"{ms_text(subnet.measured_ms)} measured, {ms_text(subnet.predicted_ms)} predicted"
    sizes = f"{count_text(subnet.macs)} MACs, {count_text(subnet.params)} parameters"
    return f"<b>{escape(title)}</b>  {times}{test}<br>{sizes}"
