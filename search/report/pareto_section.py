"""The section on accuracy over latency: every trial of a search, the Pareto front and the chosen subnets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from search.report.data import Chosen, DeviceResult, Trial
from search.report.document import Section
from search.report.figures import Figure, arch_text, drawn, layout, lines, markers, with_limits
from search.text import count_text, limits_text, ms_text, percent_text

FEWEST_FOR_RANGE = 20  # trials; from this number on the accuracy axis leaves out the worst tenth


def pareto_section(device: DeviceResult, prefix: str) -> Section | None:
    """Returns the section on a search's trials; None without trials. The name of its figure begins with `prefix`."""
    if not device.trials:
        return None
    name = f"{prefix}-pareto"
    return Section("pareto.html", {"note": _note(device), "figure_name": name}, {name: pareto_figure(device)})


def _note(device: DeviceResult) -> str:
    evaluated = sum(trial.accuracy is not None for trial in device.trials)
    refused = len(device.trials) - evaluated
    where = f" on {device.device}, the first device" if device.others else ""
    text = f"{evaluated} candidates were evaluated; each is shown at its predicted latency{where}."
    if refused:
        text += f" {refused} more exceeded a limit and were not evaluated (ticks below the plot)."
    stars = "Stars mark the chosen subnets at their measured latency; dotted lines lead to the predicted one."
    return f"{text} {stars}"


def pareto_figure(device: DeviceResult) -> Figure:
    """Returns accuracy over latency: every trial, the front, the limits, the chosen subnets at their measured latency.

    Latencies and their limits are those of the search's first device.
    """
    evaluated = [trial for trial in device.trials if trial.accuracy is not None and trial.latency_ms is not None]
    refused = [trial for trial in device.trials if trial.accuracy is None and trial.latency_ms is not None]
    front = pareto_front([trial for trial in evaluated if trial.feasible])
    over_limit = [trial for trial in evaluated if not trial.feasible]
    traces = [
        _trials("trials", [trial for trial in evaluated if trial.feasible], "$dot", "circle", 0.75),
        _trials("over the limit", over_limit, "$faint", "x", 0.9),
        _trials("front", front, "$accent", "circle", 1.0)
        | {"mode": "lines+markers", "line": {"color": "$accent", "width": 2, "shape": "hv"}},
        _refused(refused),
        *_chosen_traces(device),
    ]
    where = f" on {device.device}" if device.others else ""
    frame = layout(f"latency{escape(where)}, ms (batch 1)", "validation accuracy, %", height=520)
    frame["yaxis"] |= {"domain": [0.1, 1.0] if refused else [0.0, 1.0], **_accuracy_range(evaluated, device)}
    if refused:
        frame["yaxis2"] = {"domain": [0.0, 0.055], "visible": False, "range": [-1, 1], "fixedrange": True}
        frame["xaxis"]["anchor"] = "y2"
    limits = [subnet.limit_ms for subnet in device.chosen if subnet.limit_ms is not None]
    return drawn(traces, with_limits(frame, limits))


def pareto_front(trials: Iterable[Trial]) -> list[Trial]:
    """Returns the trials that no other trial beats in both latency and accuracy, fastest first."""
    front: list[Trial] = []
    best = float("-inf")
    for trial in sorted(trials, key=lambda trial: (trial.latency_ms or 0.0, -(trial.accuracy or 0.0))):
        if trial.accuracy is not None and trial.accuracy > best:
            front.append(trial)
            best = trial.accuracy
    return front


def _trials(name: str, trials: Sequence[Trial], color: str, symbol: str, opacity: float) -> Figure:
    return markers(
        name,
        [trial.latency_ms for trial in trials],
        [100 * (trial.accuracy or 0.0) for trial in trials],
        [_trial_text(trial) for trial in trials],
        color=color,
        symbol=symbol,
        size=7,
        opacity=opacity,
        line={"width": 0},
    )


def _refused(trials: Sequence[Trial]) -> Figure:
    """Candidates predicted over the limit, which have no accuracy: ticks below the plot."""
    return markers(
        "over the limit, not evaluated",
        [trial.latency_ms for trial in trials],
        [0.0] * len(trials),
        [_trial_text(trial) for trial in trials],
        symbol="line-ns",
        size=9,
        line={"width": 1.2, "color": "$faint"},
    ) | {"yaxis": "y2"}


def _chosen_traces(device: DeviceResult) -> list[Figure]:
    """Stars at the measured latency of the chosen subnets, each tied to the predicted latency."""
    subnets = [subnet for subnet in device.chosen if subnet.measured_ms is not None and _height(subnet) is not None]
    x = [ms for subnet in subnets for ms in (subnet.predicted_ms, subnet.measured_ms, None)]
    y = [height for subnet in subnets for height in (_height(subnet), _height(subnet), None)]
    ties = lines("ties", x, y, color="$star", width=1.5, dash="dot") | {"hoverinfo": "skip", "showlegend": False}
    titles = [limits_text(subnet.limits) or "no limit" for subnet in subnets]
    traces = [ties, _stars("chosen (measured)", subnets, titles, color="$star", symbol="star", size=17)]
    largest = device.largest
    if largest is not None and largest.measured_ms is not None and _height(largest) is not None:
        name = "largest (measured)"
        traces.append(_stars(name, [largest], ["largest"], color="$second", symbol="diamond", size=11))
    return traces


def _stars(
    name: str, subnets: Sequence[Chosen], titles: Sequence[str], *, color: str, symbol: str, size: int
) -> Figure:
    return markers(
        name,
        [subnet.measured_ms for subnet in subnets],
        [_height(subnet) for subnet in subnets],
        [_chosen_text(subnet, title) for subnet, title in zip(subnets, titles, strict=True)],
        color=color,
        symbol=symbol,
        size=size,
        line={"width": 1.5, "color": "$page"},
    )


def _height(subnet: Chosen) -> float | None:
    return None if subnet.validation_accuracy is None else 100 * subnet.validation_accuracy


def _accuracy_range(evaluated: Sequence[Trial], device: DeviceResult) -> Figure:
    """The y range that shows the better nine tenths of the trials; a few failures would flatten the rest."""
    heights = sorted(100 * trial.accuracy for trial in evaluated if trial.accuracy is not None)
    if len(heights) < FEWEST_FOR_RANGE:
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
