"""What each setting does, and what schedule, starting weights and sparsity do together, in a search's section."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.analysis.analyse import Analysis
from search.analysis.effects import CONFIDENCE
from search.analysis.together import Together
from search.report.accuracy_axis import AccuracyAxis, accuracy_axis
from search.report.analysis_words import effect_text, interaction_texts
from search.report.data import Trial
from search.report.effect_figure import effect_figure
from search.report.figures import Figure
from search.report.html import captioned_figure, text_with_units
from search.report.importance_section import given_up_text
from search.report.together_figure import colours_of, together_figures, weights_of


def effects_section(analysis: Analysis, trials: Sequence[Trial], prefix: str, figures: dict[str, Figure]) -> str:
    """Returns the HTML of what settings do, and adds its figures; empty where none is searched.

    Args:
        trials: of the search; those without an accuracy are left out.
    """
    known = [trial for trial in trials if trial.accuracy is not None]
    if not analysis.effects or not known:
        return ""
    axis = accuracy_axis([trial.accuracy or 0.0 for trial in known])
    boxes = []
    for number, setting in enumerate(_by_importance(analysis)):
        name, effect = f"{prefix}-effect-{number}", analysis.effects[setting]
        log = next((one.log for one in analysis.settings if one.name == setting), False)
        figures[name] = effect_figure(effect, known, axis, log=log)
        boxes.append(captioned_figure(name, setting, effect_text(effect)))
    note = text_with_units(_note(analysis))
    parts = f'<h2>What each setting does</h2><p class="note">{note}</p><div class="grid">{"".join(boxes)}</div>'
    if analysis.together is None:
        return parts
    return parts + _together(analysis.together, known, axis, f"{prefix}-together", figures)


def _by_importance(analysis: Analysis) -> list[str]:
    shares = analysis.decisive.mains if analysis.decisive is not None else {}
    return sorted(analysis.effects, key=lambda name: -shares.get(name, 0.0))


def _note(analysis: Analysis) -> str:
    return (
        f"A point is one of {analysis.candidates} candidates that were evaluated to the end.{given_up_text(analysis)} "
        "Diamonds are mean accuracies with what the architecture and all other settings do taken out, and "
        f"{100 * CONFIDENCE:.0f} % intervals; they count the candidates that collapsed as well. Each setting is judged "
        "by itself: of twenty that do nothing, one would seem to do something. The scale is logarithmic in the error."
    )


def _together(
    together: Together, trials: Sequence[Trial], axis: AccuracyAxis, prefix: str, figures: dict[str, Figure]
) -> str:
    names = [
        name
        for name in (together.schedule, "starting weights" if together.start or together.initializer else "")
        if name
    ]
    title = " and ".join([", ".join(names), together.sparsity] if together.sparsity else names)
    parts = [f"<h2>{escape(title[:1].upper() + title[1:])}</h2>"]
    parts += [f'<p class="note">{text_with_units(text)}</p>' for text in interaction_texts(together, len(trials))]
    if together.schedule:
        marks = "".join(
            f'<span><i style="background:var(--{colour.removeprefix("$")})"></i>{escape(name)}</span>'
            for name, colour in colours_of(together, trials).items()
        )
        parts.append(f'<div class="legend">{marks}</div>')
    boxes = []
    for number, (weights, figure) in enumerate(together_figures(together, trials, axis).items()):
        name = f"{prefix}-{number}"
        figures[name] = figure
        count = sum(weights_of(together, trial) == weights for trial in trials)
        boxes.append(captioned_figure(name, f"{weights} ({count})", ""))
    if boxes:
        parts.append(f'<div class="grid">{"".join(boxes)}</div>')
    return "".join(parts) + _within(together)


def _within(together: Together) -> str:
    """What is seen in single ranges of sparsity, and in which ranges that cannot be told."""
    told = [one for one in together.within if not one.effect.untold]
    untold = [f"{one.setting} at {one.range}" for one in together.within if one.effect.untold]
    parts = [
        f"<b>{escape(one.setting)}</b> at {escape(together.sparsity)} {escape(one.range)}, {one.candidates} "
        f"candidates: {text_with_units(effect_text(one.effect))}"
        for one in told
    ]
    if untold:
        text = f"Not to be compared within a range of {together.sparsity}: {', '.join(untold)}."
        parts.append(escape(text))
    return "".join(f'<p class="note">{part}</p>' for part in parts)
