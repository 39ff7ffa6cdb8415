"""The figure of a sweep: what accuracy is reached within a latency, as a band over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.report.figures import Figure, layout
from search.report.limit_lines import limit_lines
from search.report.numbers import limits_text, ms_text, percent_text
from search.report.sweep_data import SweepChoice, SweepFronts
from search.spread import Band, band

COLOURS = ("$accent", "$star", "$second", "$limit", "$dot", "$muted")
MOST_LIMITS = 8  # that are drawn; more would hide the fronts


def fronts_figure(fronts: Sequence[SweepFronts]) -> Figure:
    """Returns mean, least and most accuracy over predicted latency, a colour a kind of search of the same devices.

    Stars are the chosen subnets where they were measured, one a seed and limit.
    """
    traces: list[Figure] = []
    for index, one in enumerate(fronts):
        colour, name = COLOURS[index % len(COLOURS)], escape(one.kind or "searches")
        reached = band(list(one.by_seed.values()), _end(one))
        several = len(one.by_seed) > 1
        if several:
            traces += _area(reached, name, colour)
        what = "mean front" if several else "front"
        traces.append(_steps(reached, reached.mean, f"{name}: {what}", colour) | {"legendgroup": name})
        traces.append(_chosen(one.choices, name, colour))
    devices = fronts[0].devices
    where = f" on {escape(devices[0])}" if len(devices) > 1 else ""
    frame = layout(f"latency{where}, ms (batch 1)", "validation accuracy, %", height=460)
    limits = _limits(fronts)
    if len(limits) <= MOST_LIMITS:
        frame |= limit_lines(limits)
    return {"data": traces, "layout": frame}


def _area(reached: Band, name: str, colour: str) -> list[Figure]:
    """The area between the least and the most accuracy of the seeds."""
    shared = {"line": {"width": 0, "shape": "hv", "color": colour}, "hoverinfo": "skip", "legendgroup": name}
    low = _steps(reached, reached.least, name, colour) | shared | {"showlegend": False, "mode": "lines"}
    high = _steps(reached, reached.most, f"{name}: over seeds", colour) | shared | {"mode": "lines"}
    return [low, high | {"fill": "tonexty", "fillcolor": f"{colour}/0.2"}]


def _steps(reached: Band, accuracy: Sequence[float], name: str, colour: str) -> Figure:
    seen = [
        f"within {ms_text(ms)}: {percent_text(mean)} (seeds from {percent_text(low)} to {percent_text(high)})"
        for ms, low, mean, high in zip(reached.ms, reached.least, reached.mean, reached.most, strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(reached.ms) == 1 else "lines",
        "name": name,
        "x": list(reached.ms),
        "y": [100 * value for value in accuracy],
        "text": seen,
        "hovertemplate": "%{text}<extra></extra>",
        "line": {"color": colour, "width": 2.2, "shape": "hv"},
    }


def _chosen(choices: Sequence[SweepChoice], name: str, colour: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{name}: chosen, as measured",
        "legendgroup": name,
        "x": [next(iter(choice.times.values())) for choice in choices],
        "y": [100 * choice.validation_accuracy for choice in choices],
        "text": [_said(choice) for choice in choices],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": colour, "symbol": "star", "size": 12, "line": {"width": 1.2, "color": "$page"}},
    }


def _said(choice: SweepChoice) -> str:
    head = f"<b>{escape(limits_text(choice.limits) or 'no limit')}, seed {choice.seed}</b>"
    measured = ms_text(next(iter(choice.times.values())))
    return f"{head}<br>{percent_text(choice.validation_accuracy)} on validation, {measured} measured"


def _end(one: SweepFronts) -> float:
    """The last latency that says something about these searches: a limit, or what a chosen subnet took."""
    times = [next(iter(choice.times.values())) for choice in one.choices]
    return max([*times, *_limits([one])])


def _limits(fronts: Sequence[SweepFronts]) -> list[float]:
    """The latency limits of the first device, ascending."""
    found = {choice.limits.get(next(iter(choice.times))) for one in fronts for choice in one.choices}
    return sorted(limit for limit in found if limit is not None)
