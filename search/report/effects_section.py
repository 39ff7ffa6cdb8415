"""The section on the effect of each setting: a figure and a sentence for each, with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.analysis.analyze import Analysis
from search.analysis.effects import CONFIDENCE, Difference, Effect
from search.report.data import Trial
from search.report.document import Section
from search.report.figures import Figure, ScoreAxis, layout, lines, markers, score_axis, small
from search.report.importance_section import given_up_text
from search.run.scores import MetricFacts

MOST_NAMED = 3  # differences in a sentence
MINUS = "\N{MINUS SIGN}"
HEIGHT = 250
JITTER = 0.5  # fraction of the width of a value, so that points do not hide each other
GOLDEN = 0.618  # its multiples fill a range evenly
NAME_LENGTH = 14  # characters


def effects_section(analysis: Analysis, trials: Sequence[Trial], metric: MetricFacts, prefix: str) -> Section | None:
    """Returns the section on the effects of settings; None if no setting is searched.

    Args:
        trials: the trials of the search; those without a score are left out.
        metric: of their scores.
        prefix: the beginning of its figures' names.
    """
    evaluated = [trial for trial in trials if trial.score is not None]
    if not analysis.effects or not evaluated:
        return None
    axis = score_axis(metric, [trial.score.value for trial in evaluated if trial.score is not None])
    log_scaled = {setting.name for setting in analysis.settings if setting.log}
    figures, boxes = {}, []
    for number, setting in enumerate(_by_importance(analysis)):
        name, effect = f"{prefix}-effect-{number}", analysis.effects[setting]
        figures[name] = effect_figure(effect, evaluated, axis, log=setting in log_scaled)
        boxes.append((name, setting, effect_text(effect, metric)))
    return Section("effects.html", {"note": _note(analysis, axis), "boxes": boxes}, figures)


def _by_importance(analysis: Analysis) -> list[str]:
    shares = analysis.decisive.mains if analysis.decisive is not None else {}
    return sorted(analysis.effects, key=lambda name: -shares.get(name, 0.0))


def _note(analysis: Analysis, axis: ScoreAxis) -> str:
    return (
        f"Each point is one of {analysis.candidates} candidates that were evaluated to the end."
        f"{given_up_text(analysis)} Diamonds are means adjusted for the architecture and all other settings, "
        f"with {100 * CONFIDENCE:.0f} % intervals; collapsed candidates count as well. Each setting is tested on its "
        "own: of twenty without any effect, about one will seem to have one."
        f"{axis.scale}"
    )


def effect_text(effect: Effect, metric: MetricFacts) -> str:
    """Returns a sentence on which values of a setting are better, or that there is no clear difference."""
    if effect.not_compared:
        return f"Not compared: {effect.not_compared}."
    clear = [difference for difference in effect.differences if difference.is_significant]
    unclear = [difference for difference in effect.differences if not difference.is_significant]
    texts = effect.column.texts
    if not clear:
        largest = max(unclear, key=lambda difference: difference.mean)
        return f"No clear difference: {_difference(effect, largest, metric)}.{_seldom(effect)}"
    first, *others = sorted(clear, key=lambda difference: -difference.mean)[:MOST_NAMED]
    rest = [_difference(effect, other, metric, "and") for other in others]
    text = "; ".join([_difference(effect, first, metric), *rest])
    alike = [texts[difference.low] for difference in unclear]
    same = f" No clear difference between {texts[first.high]} and {_listed(alike)}." if alike else ""
    return f"{text}.{same}{_seldom(effect)}"


def points_text(difference: float, metric: MetricFacts) -> str:
    """Returns a difference of qualities, of fractions in percentage points, such as "0.28" or "12.3"."""
    points = abs(metric.shown(difference))
    text = f"{points:.{1 if points >= 1 else 2}f}" if metric.unit == "%" else f"{points:.3g}"
    return f"{MINUS}{text}" if difference < 0 and float(text) > 0 else text


def _difference(effect: Effect, difference: Difference, metric: MetricFacts, lead: str = "") -> str:
    texts, counts = effect.column.texts, effect.column.counts
    unit = " points" if metric.unit == "%" else f" {metric.unit}".rstrip()
    where = "above" if metric.maximize else "below"
    begin = f"{lead} " if lead else f"{texts[difference.high]} is "
    return (
        f"{begin}{points_text(difference.mean, metric)}{unit} {where} {texts[difference.low]} (95 % interval "
        f"{points_text(difference.least, metric)} to {points_text(difference.most, metric)}; "
        f"{counts[difference.high]} and {counts[difference.low]} candidates)"
    )


def _seldom(effect: Effect) -> str:
    column = effect.column
    rare = [cell for cell in range(len(column.cells)) if cell not in effect.compared]
    texts = [f"{column.texts[cell]} ({column.counts[cell]})" for cell in rare if column.counts[cell]]
    return f" Tried too rarely to compare: {_listed(texts)}." if texts else ""


def _listed(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def effect_figure(effect: Effect, trials: Sequence[Trial], axis: ScoreAxis, *, log: bool) -> Figure:
    """Returns the trials in which a setting is active, and the adjusted mean of each of its values or ranges.

    Args:
        trials: trials with a score.
        log: whether numbers are on a logarithmic scale.
    """
    name = effect.column.name
    with_setting = [trial for trial in trials if name in trial.settings]
    x = [_position(effect, trial, number) for number, trial in enumerate(with_setting)]
    texts = [
        f"{escape(name)} {escape(_value_text(trial.settings[name]))}, trial {trial.number}" for trial in with_setting
    ]
    traces = [axis.points(x, [trial.score.value for trial in with_setting if trial.score], "trials", "$dot", texts)]
    if effect.means:
        traces += [_ranges(effect, axis), _means(effect, axis, log=log)]
    frame = layout("", axis.metric.axis("validation"), HEIGHT)
    frame |= {"showlegend": False}
    frame["margin"] |= {"t": 12, "r": 12, "b": 24}
    frame["yaxis"] |= axis.frame
    if _is_number(effect):
        frame["xaxis"] |= {"type": "log", "dtick": 1, "exponentformat": "e"} if log else {"nticks": 6}
    else:
        values = effect.column.texts
        frame["xaxis"] |= {"tickvals": list(range(len(values))), "ticktext": [escape(_short(text)) for text in values]}
        frame["xaxis"] |= {"range": [-0.6, len(values) - 0.4], "showgrid": False}
    return small({"data": traces, "layout": frame})


def _means(effect: Effect, axis: ScoreAxis, *, log: bool) -> Figure:
    metric = axis.metric
    rows = [
        tuple(map(metric.value, ends)) if metric.maximize else tuple(map(metric.value, (ends[0], ends[2], ends[1])))
        for ends in zip(effect.means, effect.least, effect.most, strict=True)
    ]  # mean, least and most value
    heights = [axis.position(mean) for mean, _, _ in rows]
    low = [height - axis.position(least) for height, (_, least, _) in zip(heights, rows, strict=True)]
    high = [axis.position(most) - height for height, (_, _, most) in zip(heights, rows, strict=True)]
    texts = [
        f"{escape(effect.column.texts[cell])}: {metric.text(mean)} adjusted<br>{metric.text(least)} to "
        f"{metric.text(most)}, {effect.column.counts[cell]} trials"
        for cell, (mean, least, most) in zip(effect.compared, rows, strict=True)
    ]
    x = [_middle(effect, cell, log=log) for cell in effect.compared]
    diamond = {"color": "$accent", "size": 10, "symbol": "diamond", "line": {"width": 1.5, "color": "$card"}}
    bars = {"type": "data", "symmetric": False, "array": high, "arrayminus": low}
    return markers("adjusted mean", x, heights, texts, **diamond) | {
        "error_y": bars | {"color": "$accent", "thickness": 2, "width": 5}
    }


def _ranges(effect: Effect, axis: ScoreAxis) -> Figure:
    """A line over each range of numbers at its mean."""
    x: list[float | None] = []
    y: list[float | None] = []
    for cell, mean in zip(effect.compared, effect.means, strict=True):
        ends = effect.column.cells[cell]
        if isinstance(ends, tuple):
            x += [*ends, None]
            height = axis.position(axis.metric.value(mean))
            y += [height, height, None]
    return lines("range", x, y, color="$accent", width=2) | {"hoverinfo": "skip"}


def _is_number(effect: Effect) -> bool:
    return any(isinstance(cell, tuple) for cell in effect.column.cells)


def _position(effect: Effect, trial: Trial, number: int) -> float:
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
