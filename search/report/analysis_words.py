"""What an analysis found in sentences, each with its uncertainty; nothing is said that the candidates do not show."""

from __future__ import annotations

from collections.abc import Sequence

from search.analysis.effects import Difference, Effect
from search.analysis.interaction import Interaction
from search.analysis.together import LEAST, Together

MOST_NAMED = 3  # differences in a sentence
CHANCE = 0.01  # p below which an interaction is taken as seen
MINUS = "\N{MINUS SIGN}"


def effect_text(effect: Effect) -> str:
    """Returns which values of a setting are better than which, or that no difference was seen."""
    if effect.untold:
        return f"Not compared: {effect.untold}."
    seen = [one for one in effect.differences if one.is_seen]
    unseen = [one for one in effect.differences if not one.is_seen]
    texts = effect.column.texts
    if not seen:
        return f"No difference was seen: {_difference(effect, max(unseen, key=lambda one: one.mean))}.{_seldom(effect)}"
    shown = sorted(seen, key=lambda one: -one.mean)[:MOST_NAMED]
    said = "; ".join([_difference(effect, shown[0]), *(_difference(effect, one, "and") for one in shown[1:])])
    others = [texts[one.low] for one in unseen]
    same = f" No difference was seen between {texts[shown[0].high]} and {_listed(others)}." if others else ""
    return f"{said}.{same}{_seldom(effect)}"


def interaction_texts(together: Together, candidates: int) -> list[str]:
    """Returns a sentence for each two of schedule, starting weights and sparsity."""
    if candidates < LEAST:
        return [
            f"{candidates} candidates are too few to test whether what one of them does depends on another: "
            f"{LEAST} are needed."
        ]
    untold = [
        f"Whether what {other} does depends on {one} cannot be told: too few combinations of them were tried, or "
        "other choices go with them."
        for one, other in together.untold
    ]
    return [*map(_interaction, together.interactions), *untold]


def points_text(fraction: float) -> str:
    """Returns a difference of fractions in percentage points, such as "0.28" or "12.3"."""
    points = abs(100 * fraction)
    text = f"{points:.{1 if points >= 1 else 2}f}"
    return f"{MINUS}{text}" if fraction < 0 and float(text) > 0 else text


def _difference(effect: Effect, one: Difference, lead: str = "") -> str:
    texts, counts = effect.column.texts, effect.column.counts
    begin = f"{lead} " if lead else f"{texts[one.high]} is "
    return (
        f"{begin}{points_text(one.mean)} points above {texts[one.low]} (95 % interval {points_text(one.least)} to "
        f"{points_text(one.most)}; {counts[one.high]} and {counts[one.low]} candidates)"
    )


def _interaction(one: Interaction) -> str:
    numbers = f"p {_chance(one.chance)}, {one.candidates} candidates"
    if one.chance < CHANCE:
        return f"What {one.second} does depends on {one.first} ({numbers})."
    return f"It was not seen that what {one.second} does depends on {one.first} ({numbers})."


def _chance(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}" if value < 0.1 else f"= {value:.2f}"


def _seldom(effect: Effect) -> str:
    column = effect.column
    left = [cell for cell in range(len(column.cells)) if cell not in effect.compared]
    named = [f"{column.texts[cell]} ({column.counts[cell]})" for cell in left if column.counts[cell]]
    return f" Tried too seldom to be compared: {_listed(named)}." if named else ""


def _listed(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
