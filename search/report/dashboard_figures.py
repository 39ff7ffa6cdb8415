"""The two figures of the dashboard: the metric over latency with the limits, and the importance of choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optuna.study import Study

from ofa.records import convert
from search.candidates.figures import is_latency
from search.candidates.search_files import TrialRow
from search.report.data import Chosen, DeviceResult, Trial
from search.report.document import light
from search.report.figures import Figure, layout
from search.report.pareto_section import pareto_figure
from search.run.scores import MetricFacts

HEIGHT = 440  # pixels that the dashboard leaves for a figure


SHOWN_CHOICES = 16


def limits_figure(study: Study, rows: Sequence[TrialRow]) -> Figure | None:
    """Returns the metric over predicted latency with the front and the limits; None without a latency figure."""
    name = next((name for row in rows for name in row.figures if is_latency(name)), None)
    if name is None:
        return None
    targets = study.user_attrs.get("limits", {}).get("targets", [])
    limits = sorted({target[name] for target in targets if name in target})
    trials = [
        Trial(
            row.number,
            row.score,
            row.figures.get(name),
            _count(row, "macs"),
            _count(row, "params"),
            row.arch.values if row.arch else {},
            row.state != "infeasible",
        )
        for row in rows
        if row.state in ("evaluated", "infeasible")
    ]
    chosen = tuple(_limit(limit) for limit in limits)
    metric = metric_of(study)
    shown = DeviceResult(study.study_name, "", {}, (), None, None, "", tuple(trials), chosen, None, metric=metric)
    figure = pareto_figure(shown)
    figure["layout"] |= {"height": HEIGHT, "title": _title(f"{metric.title} over predicted latency, limits dashed")}
    figure["layout"]["xaxis"]["title"]["text"] = "latency, ms"  # a study does not know what its profile's runs are of
    figure["layout"]["margin"] |= {"t": figure["layout"]["margin"]["t"] + 16}  # for the title
    return _colored(figure)


def metric_of(study: Study) -> MetricFacts:
    """Returns the metric of a study, as its attributes describe it.

    Raises:
        InvalidInput: the study is damaged or of another program.
    """
    metric: MetricFacts = convert(
        study.user_attrs.get("metric"), MetricFacts, f"study {study.study_name!r}: its metric"
    )
    return metric


def importance_figure(shares: Mapping[str, float], count: int, metric: MetricFacts) -> Figure:
    """Returns bars of the most important choices, the most important one on top."""
    top = list(shares.items())[:SHOWN_CHOICES][::-1]
    bars = {"type": "bar", "orientation": "h", "marker": {"color": "$accent"}} | {
        "x": [100 * share for _, share in top],
        "y": [name for name, _ in top],
        "hovertemplate": "%{y}: %{x:.1f} %<extra></extra>",
    }
    frame = layout(f"share of the variance over {count} evaluated subnets, %", "", height=HEIGHT)
    frame |= {"title": _title(f"What decides the {metric.title}"), "showlegend": False}
    return _colored({"data": [bars], "layout": frame})


def _limit(limit_ms: float) -> Chosen:
    """A latency limit in the form of a chosen subnet without a measurement, as the figure needs it."""
    return Chosen("", limit_ms, None, None, None, None, None, None, None, {}, "")


def _count(row: TrialRow, name: str) -> int | None:
    return int(row.figures[name]) if name in row.figures else None


def _title(text: str) -> Figure:
    return {"text": text, "font": {"size": 15, "color": "$ink"}, "x": 0.02, "xanchor": "left"}


def _colored(figure: Figure) -> Figure:
    """The figure in the report's light colors, since the dashboard does not know their names."""
    return {name: light(part) for name, part in figure.items()}
