"""The figure of one setting: accuracy of every trial over its value, and means that are adjusted for all else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.analysis.effects import Effect
from search.report.accuracy_axis import AccuracyAxis
from search.report.data import Trial
from search.report.figures import Figure, layout, small
from search.report.numbers import percent_text

HEIGHT = 250
JITTER = 0.5  # of the room of a value, so that points do not hide each other
GOLDEN = 0.618  # its multiples fill a range evenly
NAME_LENGTH = 14  # characters


def effect_figure(effect: Effect, trials: Sequence[Trial], axis: AccuracyAxis, *, log: bool) -> Figure:
    """Returns the trials in which a setting counts, and the adjusted mean of each of its values or ranges.

    Args:
        trials: with an accuracy each.
        log: whether numbers are on a logarithmic scale.
    """
    name = effect.column.name
    counting = [trial for trial in trials if name in trial.settings]
    places = [_place(effect, trial, number) for number, trial in enumerate(counting)]
    said = [f"{escape(name)} {escape(_value_text(trial.settings[name]))}, trial {trial.number}" for trial in counting]
    traces = [axis.points(places, [trial.accuracy or 0.0 for trial in counting], "trials", "$dot", said)]
    if effect.means:
        traces += [_ranges(effect, axis), _means(effect, axis, log=log)]
    frame = layout("", "validation accuracy, %", HEIGHT)
    frame |= {"showlegend": False}
    frame["margin"] |= {"t": 12, "r": 12, "b": 36}
    frame["yaxis"] |= axis.frame
    if _is_number(effect):
        frame["xaxis"] |= {"type": "log", "dtick": 1, "exponentformat": "power"} if log else {"nticks": 6}
    else:
        texts = effect.column.texts
        frame["xaxis"] |= {"tickvals": list(range(len(texts))), "ticktext": [escape(_short(text)) for text in texts]}
        frame["xaxis"] |= {"range": [-0.6, len(texts) - 0.4], "showgrid": False}
    return small({"data": traces, "layout": frame})


def _means(effect: Effect, axis: AccuracyAxis, *, log: bool) -> Figure:
    places = [axis.place(mean) for mean in effect.means]
    low = [place - axis.place(least) for place, least in zip(places, effect.least, strict=True)]
    high = [axis.place(most) - place for place, most in zip(places, effect.most, strict=True)]
    texts = [
        f"{escape(effect.column.texts[cell])}: {percent_text(mean)} adjusted<br>{percent_text(least)} to "
        f"{percent_text(most)}, {effect.column.counts[cell]} trials"
        for cell, mean, least, most in zip(effect.compared, effect.means, effect.least, effect.most, strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "adjusted mean",
        "x": [_middle(effect, cell, log=log) for cell in effect.compared],
        "y": places,
        "error_y": {"type": "data", "symmetric": False, "array": high, "arrayminus": low}
        | {"color": "$accent", "thickness": 2, "width": 5},
        "text": texts,
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": "$accent", "size": 10, "symbol": "diamond", "line": {"width": 1.5, "color": "$card"}},
    }


def _ranges(effect: Effect, axis: AccuracyAxis) -> Figure:
    """A line over each range of numbers at its mean."""
    x: list[float | None] = []
    y: list[float | None] = []
    for cell, mean in zip(effect.compared, effect.means, strict=True):
        ends = effect.column.cells[cell]
        if isinstance(ends, tuple):
            x += [*ends, None]
            y += [axis.place(mean), axis.place(mean), None]
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "hoverinfo": "skip"} | {
        "line": {"color": "$accent", "width": 2}
    }


def _is_number(effect: Effect) -> bool:
    return any(isinstance(cell, tuple) for cell in effect.column.cells)


def _place(effect: Effect, trial: Trial, number: int) -> float:
    value = trial.settings[effect.column.name]
    if _is_number(effect):
        return float(value)
    return effect.column.cells.index(value) + JITTER * (GOLDEN * number % 1 - 0.5)


def _middle(effect: Effect, cell: int, *, log: bool) -> float:
    ends = effect.column.cells[cell]
    if not isinstance(ends, tuple):
        return float(ends) if _is_number(effect) and not isinstance(ends, str) else float(cell)
    return float((ends[0] * ends[1]) ** 0.5 if log else (ends[0] + ends[1]) / 2)


def _value_text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _short(name: str) -> str:
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"
