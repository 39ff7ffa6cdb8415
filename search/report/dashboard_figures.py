"""The two figures of the dashboard: the metric over latency with the limits, and the importance of choices."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.study import Study

from ofa.records import convert
from search.analysis.analyse import decisive
from search.candidates.figures import is_latency
from search.candidates.search_files import TrialRow
from search.report.data import Choice, Chosen, DeviceResult, Trial
from search.report.document import light
from search.report.figures import Figure
from search.report.importance_section import LEAST_HELD_OUT, importance_bars, parts_of
from search.report.pareto_section import pareto_figure
from search.run.scores import MetricFacts

HEIGHT = 440  # pixels that the dashboard leaves for a figure


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


def importance_figure(rows: Sequence[TrialRow], metric: MetricFacts) -> Figure | None:
    """Returns the bars of the report's section on importance; None where the forest behind them predicts nothing."""
    evaluated = [  # without trials that stopped early: they were trained for less
        (row.arch.values, row.settings, metric.quality(row.score.value))
        for row in rows
        if row.state == "evaluated" and row.arch and row.score is not None
    ]
    candidates = [{**arch, **settings} for arch, settings, _ in evaluated]
    found = decisive(candidates, [quality for *_, quality in evaluated])
    if found is None or found.held_out < LEAST_HELD_OUT:
        return None
    values = {key: {arch[key] for arch, *_ in evaluated if key in arch} for arch, *_ in evaluated for key in arch}
    choices = [
        Choice(kind, name, tuple(sorted(values[f"{kind}.{name}"])))
        for kind, _, name in (key.partition(".") for key in values)
    ]
    figure = importance_bars(parts_of(found.mains, choices))
    said = f"What decides the {metric.title}: unseen subnets predicted with R² = {found.held_out:.2f}"
    figure["layout"] |= {"height": HEIGHT, "title": _title(said)}
    figure["layout"]["margin"] |= {"t": figure["layout"]["margin"]["t"] + 28}  # for the title
    return _colored(figure)


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
