"""The two figures of the dashboard: the metric over latency with the limits, and the importance of choices."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.study import Study

from ofa.records import convert
from search.analysis.analyze import decisive
from search.candidates.figures import is_latency
from search.candidates.search_files import TrialRow
from search.report.data import Choice, Chosen, DeviceResult, Trial
from search.report.document import light
from search.report.figures import Figure
from search.report.importance_section import LEAST_HELD_OUT, importance_bars, parts_of
from search.report.pareto_section import pareto_figure
from search.run.scores import MetricFacts
from search.study.trial_attributes import THIS_RUN
from search.text import limits_text

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


def study_title(name: str, attributes: Mapping[str, Any], run: str) -> str:
    """Returns the name of a study with its run and limits, such as "onnxruntime (run=main), ≤ 0.25 ms, ≤ 0.5 ms"."""
    return ", ".join([f"{name} ({run})", *_limit_texts(attributes)])


def study_note(study: Study, rows: Sequence[TrialRow]) -> str:
    """Returns what a study is about, as Markdown; its run stands there as `THIS_RUN`."""
    metric, ended = metric_of(study), [row for row in rows if row.state == "evaluated"]
    refused = sum(row.state == "infeasible" for row in rows)
    limits = ", ".join(_limit_texts(study.user_attrs)) or "none"
    lines = [
        f"Search `{study.study_name}` for the best {metric.title} ({metric.better}).",
        f"- limits: {limits}",
        f"- evaluated: {len(ended)}; over a limit by prediction, and so not evaluated: {refused}",
    ]
    known = [(metric.quality(row.score.value), row) for row in ended if row.score is not None]
    if known:
        best = max(known, key=lambda pair: pair[0])[1]
        lines.append(f"- best: trial {best.number} with {metric.text(best.score)}")
    name = shlex.quote(study.study_name)
    command = f"ofa extract {THIS_RUN} study={name}"
    return "\n".join(lines) + f"\n\nWrite the subnets that it chose:\n```sh\n{command}\n```"


def _limit_texts(attributes: Mapping[str, Any]) -> list[str]:
    return [limits_text(target, "≤ ") for target in attributes.get("limits", {}).get("targets", []) if target]


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
    importance = decisive(candidates, [quality for *_, quality in evaluated])
    if importance is None or importance.held_out < LEAST_HELD_OUT:
        return None
    values = {key: {arch[key] for arch, *_ in evaluated if key in arch} for arch, *_ in evaluated for key in arch}
    choices = [
        Choice(kind, name, tuple(sorted(values[f"{kind}.{name}"])))
        for kind, _, name in (key.partition(".") for key in values)
    ]
    figure = importance_bars(parts_of(importance.mains, choices))
    said = f"What decides the {metric.title}: unseen subnets predicted with R² = {importance.held_out:.2f}"
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
