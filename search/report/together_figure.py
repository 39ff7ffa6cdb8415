"""Figures of schedule, starting weights and sparsity: one a kind of starting weights, accuracy over sparsity."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.analysis.columns import in_order
from search.analysis.together import Together
from search.report.accuracy_axis import AccuracyAxis
from search.report.data import Trial
from search.report.figures import Figure, layout, small

COLOURS = ("$accent", "$star", "$second", "$limit", "$muted", "$dot")
HEIGHT = 290


def together_figures(together: Together, trials: Sequence[Trial], axis: AccuracyAxis) -> dict[str, Figure]:
    """Returns a figure for each kind of starting weights by its name, with axes alike; empty where there is neither
    a sparsity nor bytes to draw over.

    Args:
        trials: with an accuracy each.
    """
    placed = [(x, trial) for trial in trials if (x := _x(together, trial)) is not None]
    if not placed:
        return {}
    values = [x for x, _ in placed]
    margin = 0.04 * (max(values) - min(values)) or 1.0
    frame = layout(escape(together.sparsity) or "bytes", "validation accuracy, %", HEIGHT)
    frame |= {"showlegend": False}
    frame["margin"] |= {"t": 12, "r": 12}
    frame["yaxis"] |= axis.frame
    frame["xaxis"] |= {"range": [min(values) - margin, max(values) + margin], "nticks": 6}
    return {
        title: small({"data": _traces(together, _starting(together, placed, title), trials, axis), "layout": frame})
        for title in sorted({weights_of(together, trial) for _, trial in placed})
    }


def colours_of(together: Together, trials: Sequence[Trial]) -> dict[str, str]:
    """Returns a colour for each schedule by its name; one for all where it is not searched."""
    schedules = in_order([trial.settings[together.schedule] for trial in trials if together.schedule in trial.settings])
    return {str(name): COLOURS[number % len(COLOURS)] for number, name in enumerate(schedules)} or {"": COLOURS[0]}


def weights_of(together: Together, trial: Trial) -> str:
    """Returns what weights a trial starts from, in words."""
    return together.weights(trial.settings) or "all candidates"


def _starting(together: Together, placed: Sequence[tuple[float, Trial]], title: str) -> list[tuple[float, Trial]]:
    return [one for one in placed if weights_of(together, one[1]) == title]


def _x(together: Together, trial: Trial) -> float | None:
    value = trial.settings.get(together.sparsity) if together.sparsity else trial.bytes
    return None if value is None or isinstance(value, str) else float(value)


def _traces(
    together: Together, placed: Sequence[tuple[float, Trial]], trials: Sequence[Trial], axis: AccuracyAxis
) -> list[Figure]:
    traces = []
    for schedule, colour in colours_of(together, trials).items():
        own = [(x, trial) for x, trial in placed if str(trial.settings.get(together.schedule, "")) == schedule]
        said = [f"{escape(schedule)} {x:.4g}, trial {trial.number}" for x, trial in own]
        accuracy = [trial.accuracy or 0.0 for _, trial in own]
        traces.append(axis.points([x for x, _ in own], accuracy, escape(schedule), colour, said))
    return [trace for trace in traces if trace["x"]]
