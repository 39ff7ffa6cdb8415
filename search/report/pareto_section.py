"""The section on the metric over latency: every trial of a search, the Pareto front and the chosen subnets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ofa.task import Score
from search.report.data import Chosen, DeviceResult, Trial
from search.report.document import Section
from search.report.figures import Figure, arch_text, drawn, layout, lines, markers, with_limits
from search.run.scores import MetricFacts
from search.text import count_text, limits_text, ms_text, noise_text

FEWEST_FOR_RANGE = 20  # trials; from this number on the axis leaves out the worst tenth


def pareto_section(device: DeviceResult, prefix: str) -> Section | None:
    """Returns the section on a search's trials; None without trials. The name of its figure begins with `prefix`."""
    if not device.trials or device.metric is None:
        return None
    name = f"{prefix}-pareto"
    values = {"note": _note(device), "title": device.metric.title, "figure_name": name}
    return Section("pareto.html", values, {name: pareto_figure(device)})


def _note(device: DeviceResult) -> str:
    evaluated = sum(trial.score is not None for trial in device.trials)
    refused = len(device.trials) - evaluated
    where = f" on {device.device}, the first device" if device.others else ""
    ended = f" The search ended early: {device.ended}." if device.ended else ""
    text = f"{evaluated} candidates were evaluated; each is shown at its predicted latency{where}.{ended}"
    if refused:
        text += f" {refused} more exceeded a limit and were not evaluated (ticks below the plot)."
    stars = "Stars mark the chosen subnets at their measured latency; dotted lines lead to the predicted one."
    if device.metric_limits:
        below = sum(trial.score is not None and not trial.keeps for trial in device.trials)
        missing = f"{below} of them {'misses' if below == 1 else 'miss'}" if below else "none of them misses"
        text += f" Subnets were chosen among those that keep the limit {device.metric_limits}: {missing} it."
    if alike := [subnet for subnet in device.chosen if subnet.alike]:
        most = max(alike, key=lambda subnet: subnet.alike)
        stars += f" For {limits_text(most.limits) or 'no limit'}{noise_text(most.alike).replace(';', ',', 1)}."
    return f"{text} {stars}"


def pareto_figure(device: DeviceResult) -> Figure:
    """Returns the metric over latency: every trial, the front, the limits, the chosen subnets as they measured.

    Latencies and their limits are those of the search's first device.
    """
    metric = device.metric or MetricFacts(name="metric", title="metric")
    evaluated = [trial for trial in device.trials if trial.score is not None and trial.latency_ms is not None]
    refused = [trial for trial in device.trials if trial.score is None and trial.latency_ms is not None]
    front = pareto_front([trial for trial in evaluated if trial.feasible and trial.keeps], metric)
    over_limit = [trial for trial in evaluated if not (trial.feasible and trial.keeps)]
    within = [trial for trial in evaluated if trial.feasible and trial.keeps]
    traces = [
        _trials("trials", within, metric, "$dot", "circle", 0.75),
        _trials("over the limit", over_limit, metric, "$faint", "x", 0.9),
        _trials("front", front, metric, "$accent", "circle", 1.0)
        | {"mode": "lines+markers", "line": {"color": "$accent", "width": 2, "shape": "hv"}},
        _refused(refused, metric),
        *_chosen_traces(device, metric),
    ]
    where = f" on {device.device}" if device.others else ""
    frame = layout(f"latency{escape(where)}, {escape(device.workload.axis)}", metric.axis("validation"), height=520)
    frame["yaxis"] |= {"domain": [0.1, 1.0] if refused else [0.0, 1.0], **_range(evaluated, device, metric)}
    if refused:
        frame["yaxis2"] = {"domain": [0.0, 0.055], "visible": False, "range": [-1, 1], "fixedrange": True}
        frame["xaxis"]["anchor"] = "y2"
    limits = [subnet.limit_ms for subnet in device.chosen if subnet.limit_ms is not None]
    return drawn(traces, with_limits(frame, limits))


def pareto_front(trials: Iterable[Trial], metric: MetricFacts) -> list[Trial]:
    """Returns the trials that no other trial beats in both latency and metric, fastest first."""
    front: list[Trial] = []
    best = float("-inf")
    evaluated = [(trial, metric.quality(trial.score.value)) for trial in trials if trial.score is not None]
    for trial, quality in sorted(evaluated, key=lambda pair: (pair[0].latency_ms or 0.0, -pair[1])):
        if quality > best:
            front.append(trial)
            best = quality
    return front


def _trials(name: str, trials: Sequence[Trial], metric: MetricFacts, color: str, symbol: str, opacity: float) -> Figure:
    return markers(
        name,
        [trial.latency_ms for trial in trials],
        [_height(trial.score, metric) for trial in trials],
        [_trial_text(trial, metric) for trial in trials],
        color=color,
        symbol=symbol,
        size=7,
        opacity=opacity,
        line={"width": 0},
    )


def _refused(trials: Sequence[Trial], metric: MetricFacts) -> Figure:
    """Candidates predicted over the limit, which have no score: ticks below the plot."""
    return markers(
        "over the limit, not evaluated",
        [trial.latency_ms for trial in trials],
        [0.0] * len(trials),
        [_trial_text(trial, metric) for trial in trials],
        symbol="line-ns",
        size=9,
        line={"width": 1.2, "color": "$faint"},
    ) | {"yaxis": "y2"}


def _chosen_traces(device: DeviceResult, metric: MetricFacts) -> list[Figure]:
    """Stars at the measured latency of the chosen subnets, each tied to the predicted latency."""
    subnets = [subnet for subnet in device.chosen if subnet.measured_ms is not None and subnet.validation is not None]
    x = [ms for subnet in subnets for ms in (subnet.predicted_ms, subnet.measured_ms, None)]
    heights = [_height(subnet.validation, metric) for subnet in subnets]
    y = [height for each in heights for height in (each, each, None)]
    ties = lines("ties", x, y, color="$star", width=1.5, dash="dot") | {"hoverinfo": "skip", "showlegend": False}
    titles = [limits_text(subnet.limits) or "no limit" for subnet in subnets]
    traces = [ties, _stars("chosen (measured)", subnets, titles, metric, color="$star", symbol="star", size=17)]
    largest = device.largest
    if largest is not None and largest.measured_ms is not None and largest.validation is not None:
        name = "largest (measured)"
        traces.append(_stars(name, [largest], ["largest"], metric, color="$second", symbol="diamond", size=11))
    return traces


def _stars(
    name: str,
    subnets: Sequence[Chosen],
    titles: Sequence[str],
    metric: MetricFacts,
    *,
    color: str,
    symbol: str,
    size: int,
) -> Figure:
    return markers(
        name,
        [subnet.measured_ms for subnet in subnets],
        [_height(subnet.validation, metric) for subnet in subnets],
        [_chosen_text(subnet, title, metric) for subnet, title in zip(subnets, titles, strict=True)],
        color=color,
        symbol=symbol,
        size=size,
        line={"width": 1.5, "color": "$page"},
    )


def _height(score: Score | None, metric: MetricFacts) -> float | None:
    return None if score is None else metric.shown(score.value)


def _range(evaluated: Sequence[Trial], device: DeviceResult, metric: MetricFacts) -> Figure:
    """The y range that shows the better nine tenths of the trials; a few failures would flatten the rest."""
    heights = sorted(metric.shown(trial.score.value) for trial in evaluated if trial.score is not None)
    if len(heights) < FEWEST_FOR_RANGE:
        return {}
    stars = [subnet.validation for subnet in (*device.chosen, device.largest) if subnet is not None]
    marked = [metric.shown(score.value) for score in stars if score is not None]
    worst = len(heights) // 10
    low = min([heights[worst if metric.maximize else 0], *marked])
    high = max([heights[-1 if metric.maximize else -1 - worst], *marked])
    margin = max(0.06 * (high - low), 0.05) if metric.unit == "%" else 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return {"range": [low - margin, high + 1.5 * margin]}


def _trial_text(trial: Trial, metric: MetricFacts) -> str:
    reached = "not evaluated" if trial.score is None else metric.text(trial.score)
    head = f"<b>trial {trial.number}</b>  {reached}, {ms_text(trial.latency_ms)} predicted"
    sizes = f"{count_text(trial.macs)} MACs, {count_text(trial.params)} parameters"
    return f"{head}<br>{sizes}<br>{arch_text(trial.arch)}"


def _chosen_text(subnet: Chosen, title: str, metric: MetricFacts) -> str:
    test = f", {metric.text(subnet.test)} on test" if subnet.test is not None else ""
    times = f"{ms_text(subnet.measured_ms)} measured, {ms_text(subnet.predicted_ms)} predicted"
    sizes = f"{count_text(subnet.macs)} MACs, {count_text(subnet.params)} parameters"
    return f"<b>{escape(title)}</b>  {times}{test}<br>{sizes}"
