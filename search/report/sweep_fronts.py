"""The figure of a sweep: the front that each kind of search reaches, its spread over seeds, and the chosen subnets."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.analysis.side_by_side import Band, band
from search.report.document import series_color
from search.report.figures import Figure, layout, lines, markers, with_limits
from search.report.gather_sweep import SweepChoice, SweepFronts
from search.run.scores import MetricFacts
from search.text import limits_text, ms_text

MOST_LIMITS = 8  # limits that are drawn; more would hide the fronts


def fronts_note(fronts: Sequence[SweepFronts]) -> str:
    """Returns what the figure of the fronts shows, in words."""
    devices, seeds = fronts[0].devices, max(len(kind.by_seed) for kind in fronts)
    where = f" on {devices[0]}, the first device" if len(devices) > 1 else ""
    text = f"Best {fronts[0].metric.title} among the evaluated candidates within each predicted latency{where}"
    if seeds > 1:
        text += ": the line is the mean over seeds, the area spans all seeds, where every seed has a candidate"
    return f"{text}. All limits of a seed count together. Stars mark the chosen subnets at their measured latency."


def fronts_figure(fronts: Sequence[SweepFronts]) -> Figure:
    """Returns mean, least and most of a metric over predicted latency, one color per kind of search of equal devices.

    Stars are the chosen subnets at their measured latency, one for each seed and limit.
    """
    traces: list[Figure] = []
    for index, kind in enumerate(fronts):
        # A search without a name of its own is called by its devices, as its folder is.
        color, name = series_color(index), escape(kind.kind or " and ".join(kind.devices))
        reached = band(list(kind.by_seed.values()), _end(kind))
        several = len(kind.by_seed) > 1
        if several:
            traces += _area(reached, kind.metric, name, color)
        front = f"{name}: {'mean front' if several else 'front'}"
        traces.append(_steps(reached, kind.metric, reached.mean, front, color) | {"legendgroup": name})
        traces.append(_chosen(kind.choices, name, color))
    devices = fronts[0].devices
    where = f" on {escape(devices[0])}" if len(devices) > 1 else ""
    across = f"latency{where}, {escape(fronts[0].workload.axis)}"
    frame = layout(across, fronts[0].metric.axis("validation"), height=460)
    limits = _limits(fronts)
    if len(limits) <= MOST_LIMITS:
        frame = with_limits(frame, limits)
    return {"data": traces, "layout": frame}


def _area(reached: Band, metric: MetricFacts, name: str, color: str) -> list[Figure]:
    """The area between the least and the most that the seeds reach."""
    shared = {"line": {"width": 0, "shape": "hv", "color": color}, "hoverinfo": "skip", "legendgroup": name}
    low = _steps(reached, metric, reached.least, name, color) | shared | {"showlegend": False, "mode": "lines"}
    high = _steps(reached, metric, reached.most, f"{name}: range over seeds", color) | shared | {"mode": "lines"}
    return [low, high | {"fill": "tonexty", "fillcolor": f"{color}/0.2"}]


def _steps(reached: Band, metric: MetricFacts, qualities: Sequence[float], name: str, color: str) -> Figure:
    texts = [
        f"within {ms_text(ms)}: {metric.text(metric.value(mean))} (seeds from {metric.text(metric.value(low))} to "
        f"{metric.text(metric.value(high))})"
        for ms, low, mean, high in zip(reached.ms, reached.least, reached.mean, reached.most, strict=True)
    ]
    line = lines(
        name,
        reached.ms,
        [metric.shown(metric.value(quality)) for quality in qualities],
        color=color,
        width=2.2,
        shape="hv",
    )
    mode = "lines+markers" if len(reached.ms) == 1 else "lines"
    return line | {"mode": mode, "text": texts, "hovertemplate": "%{text}<extra></extra>"}


def _chosen(choices: Sequence[SweepChoice], name: str, color: str) -> Figure:
    return markers(
        f"{name}: chosen (measured)",
        map(_first_time, choices),
        [choice.metric.shown(choice.validation.value) for choice in choices],
        map(_text, choices),
        color=color,
        symbol="star",
        size=12,
        line={"width": 1.2, "color": "$page"},
    ) | {"legendgroup": name}


def _text(choice: SweepChoice) -> str:
    head = f"<b>{escape(limits_text(choice.limits) or 'no limit')}, seed {choice.seed}</b>"
    measured = ms_text(_first_time(choice))
    return f"{head}<br>{choice.metric.text(choice.validation)} on validation, {measured} measured"


def _first_time(choice: SweepChoice) -> float:
    """The measured ms on the first device."""
    return next(iter(choice.times.values()))


def _end(fronts: SweepFronts) -> float:
    """The largest relevant latency of these searches: a limit, or the time of a chosen subnet."""
    return max([*map(_first_time, fronts.choices), *_limits([fronts])])


def _limits(fronts: Sequence[SweepFronts]) -> list[float]:
    """The latency limits of the first device, ascending."""
    limits = {choice.limits.get(next(iter(choice.times))) for kind in fronts for choice in kind.choices}
    return sorted(limit for limit in limits if limit is not None)
