"""The section on interactions of schedule, starting weights and sparsity: figures and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.analysis.analyze import Analysis
from search.analysis.columns import in_order
from search.analysis.together import LEAST, Interaction, Together
from search.report.data import Trial
from search.report.document import Section, series_color
from search.report.effects_section import effect_text
from search.report.figures import Figure, ScoreAxis, layout, score_axis, small
from search.run.scores import MetricFacts

CHANCE = 0.01  # p below which an interaction counts as significant
HEIGHT = 290


def interaction_section(
    analysis: Analysis, trials: Sequence[Trial], metric: MetricFacts, prefix: str
) -> Section | None:
    """Returns the section on interactions; None if fewer than two of them are searched.

    Args:
        trials: the trials of the search; those without a score are left out.
        metric: of their scores.
        prefix: the beginning of its figures' names.
    """
    evaluated = [trial for trial in trials if trial.score is not None]
    together = analysis.together
    if together is None or not analysis.effects or not evaluated:
        return None
    figures, boxes = {}, []
    axis = score_axis(metric, [trial.score.value for trial in evaluated if trial.score is not None])
    for number, (weights, figure) in enumerate(together_figures(together, evaluated, axis).items()):
        name = f"{prefix}-together-{number}"
        figures[name] = figure
        boxes.append((name, f"{weights} ({sum(weights_of(together, trial) == weights for trial in evaluated)})", ""))
    return Section(
        "interaction.html",
        {
            "title": _title(together),
            "notes": interaction_texts(together, len(evaluated)),
            "legend": colors_of(together, evaluated) if together.schedule else {},
            "boxes": boxes,
            "within": [
                (
                    within.setting,
                    f"at {together.sparsity} {within.range}, {within.candidates} candidates: "
                    f"{effect_text(within.effect, metric)}",
                )
                for within in together.within
                if not within.effect.not_compared
            ],
            "untested": _untested(together),
        },
        figures,
    )


def _title(together: Together) -> str:
    weights = "starting weights" if together.start or together.initializer else ""
    names = [name for name in (together.schedule, weights) if name]
    title = " and ".join([", ".join(names), together.sparsity] if together.sparsity else names)
    return title[:1].upper() + title[1:]


def _untested(together: Together) -> str:
    """The ranges of sparsity in which nothing can be compared, in words; empty if there are none."""
    ranges = [f"{within.setting} at {within.range}" for within in together.within if within.effect.not_compared]
    return f"Cannot be compared within a range of {together.sparsity}: {', '.join(ranges)}." if ranges else ""


def interaction_texts(together: Together, candidates: int) -> list[str]:
    """Returns a sentence for each pair of schedule, starting weights and sparsity."""
    if candidates < LEAST:
        return [
            f"{candidates} candidates are too few to test whether the effect of one depends on another; "
            f"at least {LEAST} are needed."
        ]
    untested = [
        f"Whether the effect of {second} depends on {first} cannot be tested: too few combinations were tried, or "
        "other choices vary with them."
        for first, second in together.untested
    ]
    return [*map(_interaction, together.interactions), *untested]


def _interaction(interaction: Interaction) -> str:
    numbers = f"p {_chance(interaction.chance)}, {interaction.candidates} candidates"
    if interaction.chance < CHANCE:
        return f"The effect of {interaction.second} depends on {interaction.first} ({numbers})."
    return f"No evidence that the effect of {interaction.second} depends on {interaction.first} ({numbers})."


def _chance(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}" if value < 0.1 else f"= {value:.2f}"


def together_figures(together: Together, trials: Sequence[Trial], axis: ScoreAxis) -> dict[str, Figure]:
    """Returns a figure of the metric over sparsity for each kind of starting weights by its name, with equal axes.

    Empty if there is neither a sparsity nor bytes for the x axis.

    Args:
        trials: trials with a score.
    """
    placed = [(x, trial) for trial in trials if (x := _x(together, trial)) is not None]
    if not placed:
        return {}
    values = [x for x, _ in placed]
    margin = 0.04 * (max(values) - min(values)) or 1.0
    frame = layout(escape(together.sparsity) or "bytes", axis.metric.axis("validation"), HEIGHT)
    frame |= {"showlegend": False}
    frame["margin"] |= {"t": 12, "r": 12}
    frame["yaxis"] |= axis.frame
    frame["xaxis"] |= {"range": [min(values) - margin, max(values) + margin], "nticks": 6}
    groups: dict[str, list[tuple[float, Trial]]] = {}
    for x, trial in placed:
        groups.setdefault(weights_of(together, trial), []).append((x, trial))
    colors = colors_of(together, trials)
    return {
        weights: small({"data": _traces(together, groups[weights], colors, axis), "layout": frame})
        for weights in sorted(groups)
    }


def colors_of(together: Together, trials: Sequence[Trial]) -> dict[str, str]:
    """Returns a color for each schedule by its name; one for all if it is not searched."""
    schedules = in_order([trial.settings[together.schedule] for trial in trials if together.schedule in trial.settings])
    return {str(name): series_color(number) for number, name in enumerate(schedules)} or {"": series_color(0)}


def weights_of(together: Together, trial: Trial) -> str:
    """Returns the starting weights of a trial in words."""
    return together.weights(trial.settings) or "all candidates"


def _x(together: Together, trial: Trial) -> float | None:
    value = trial.settings.get(together.sparsity) if together.sparsity else trial.bytes
    return None if value is None or isinstance(value, str) else float(value)


def _traces(
    together: Together, placed: Sequence[tuple[float, Trial]], colors: dict[str, str], axis: ScoreAxis
) -> list[Figure]:
    traces = []
    for schedule, color in colors.items():
        group = [(x, trial) for x, trial in placed if str(trial.settings.get(together.schedule, "")) == schedule]
        texts = [f"{escape(schedule)} {x:.4g}, trial {trial.number}" for x, trial in group]
        values = [trial.score.value for _, trial in group if trial.score is not None]
        traces.append(axis.points([x for x, _ in group], values, escape(schedule), color, texts))
    return [trace for trace in traces if trace["x"]]
