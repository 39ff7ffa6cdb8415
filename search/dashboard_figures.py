"""Figures of our own in the dashboard: accuracy over latency with the limits, and what decides the accuracy.

They are made when they are looked at, from the trials that are there; the study itself is not written to.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.study._frozen import FrozenStudy

from search.figures import is_latency
from search.importance import importances
from search.report.data import Chosen, DeviceResult, Trial
from search.report.figures import Figure, layout
from search.report.pareto_figure import pareto_figure
from search.report.style import CSS
from search.trials import TrialRow, trial_rows

HEIGHT = 440  # pixels, what the dashboard leaves for a figure
SHOWN_CHOICES = 16
LEAST = 20  # evaluated trials; importances of fewer are noise
GROWN = 1.1  # by so much more of them the importances are made anew: they take a second


def with_figures(storage: BaseStorage) -> BaseStorage:
    """Returns the storage, whose studies from now on come with their figures as the dashboard keeps them."""
    made = _Figures(storage)
    studies = storage.get_all_studies

    def get_all_studies() -> list[FrozenStudy]:
        found = studies()
        for study in found:
            study.system_attrs = {**study.system_attrs, **made.attributes(study)}
        return found

    setattr(storage, "get_all_studies", get_all_studies)  # noqa: B010, the dashboard takes nothing but a BaseStorage
    return storage


class _Figures:
    """The figures of the studies of a storage, each made again when there is something new to show."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage
        self._lock = Lock()  # the dashboard asks from several threads
        self._scratch = _quiet_study()
        self._made: dict[int, tuple[int, dict[str, Any]]] = {}  # by study: finished trials, and what was made of them
        self._importances: dict[int, tuple[int, dict[str, float]]] = {}

    def attributes(self, study: FrozenStudy) -> dict[str, Any]:
        """The study attributes that hold the figures."""
        identity = study._study_id
        with self._lock:
            opened = optuna.load_study(study_name=study.study_name, storage=self._storage)
            rows = trial_rows(opened)
            count, attributes = self._made.get(identity, (-1, {}))
            if count != len(rows):
                figures = {"pareto": limits_figure(opened, rows), "importance": self._importance(identity, rows)}
                shown = {name: figure for name, figure in figures.items() if figure is not None}
                attributes = _saved(self._scratch, shown)
                self._made[identity] = len(rows), attributes
            return attributes

    def _importance(self, identity: int, rows: Sequence[TrialRow]) -> Figure | None:
        known = [  # none that was given up: it was trained for less
            (row.arch, row.settings, row.accuracy)
            for row in rows
            if row.state == "evaluated" and row.arch and row.accuracy is not None
        ]
        count, shares = self._importances.get(identity, (0, {}))
        if len(known) >= max(LEAST, GROWN * count):
            candidates = [{**arch.values, **settings} for arch, settings, _ in known]
            count, shares = len(known), importances(candidates, [accuracy for *_, accuracy in known])
            self._importances[identity] = count, shares
        return importance_figure(shares, count) if shares else None


def limits_figure(study: Study, rows: Sequence[TrialRow]) -> Figure | None:
    """Returns accuracy over predicted latency with the front and the limits; None where no latency is known."""
    name = next((name for row in rows for name in row.figures if is_latency(name)), None)
    if name is None:
        return None
    targets = study.user_attrs.get("limits", {}).get("targets", [])
    limits = sorted({target[name] for target in targets if name in target})
    trials = [
        Trial(
            row.number,
            row.accuracy,
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
    figure = pareto_figure(DeviceResult(study.study_name, "", {}, (), None, None, "", tuple(trials), chosen, None))
    figure["layout"] |= {"height": HEIGHT, "title": _title("Accuracy over predicted latency, limits dashed")}
    figure["layout"]["margin"] |= {"t": 84}
    coloured: Figure = _coloured(figure)
    return coloured


def importance_figure(shares: Mapping[str, float], count: int) -> Figure:
    """Returns bars of the most important choices, the most important one on top."""
    shown = list(shares.items())[:SHOWN_CHOICES][::-1]
    bars = {"type": "bar", "orientation": "h", "marker": {"color": "$accent"}} | {
        "x": [100 * share for _, share in shown],
        "y": [name for name, _ in shown],
        "hovertemplate": "%{y}: %{x:.1f} %<extra></extra>",
    }
    frame = layout(f"share of what {count} evaluated subnets tell about it, %", "", height=HEIGHT)
    frame |= {"title": _title("What decides the accuracy"), "showlegend": False}
    coloured: Figure = _coloured({"data": [bars], "layout": frame})
    return coloured


def _limit(limit_ms: float) -> Chosen:
    """A latency limit as the figure takes it: that of a subnet that is not measured."""
    return Chosen("", limit_ms, None, None, None, None, None, None, None, {}, "")


def _count(row: TrialRow, name: str) -> int | None:
    return int(row.figures[name]) if name in row.figures else None


def _title(text: str) -> Figure:
    return {"text": text, "font": {"size": 15, "color": "$ink"}, "x": 0.02, "xanchor": "left"}


def _coloured(value: Any) -> Any:
    """The figure with the light colours of the report for their names."""
    if isinstance(value, str) and value.startswith("$"):
        found = re.search(rf"--{value[1:]}: (#[0-9a-f]+);", CSS)
        return found[1] if found else value
    if isinstance(value, Mapping):
        return {key: _coloured(inner) for key, inner in value.items()}
    return [_coloured(inner) for inner in value] if isinstance(value, list | tuple) else value


def _quiet_study() -> Study:
    """A study in memory, made without Optuna's line about it."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study()
    finally:
        optuna.logging.set_verbosity(before)


def _saved(scratch: Study, figures: Mapping[str, Figure]) -> dict[str, Any]:
    """The study attributes that the dashboard itself saves for figures, read back from a study that nobody sees."""
    import plotly.graph_objects as plotly  # a slow import, needed here alone

    save = importlib.import_module("optuna_dashboard").save_plotly_graph_object
    for name, figure in figures.items():
        save(scratch, plotly.Figure(figure), graph_object_id=name)
    ours = tuple(f":{name}:" for name in figures)
    saved = scratch._storage.get_study_system_attrs(scratch._study_id)
    return {key: value for key, value in saved.items() if any(name in key for name in ours)}
