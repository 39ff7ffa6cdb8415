"""What matters as a part of a search's section: bars, the strongest pairs, and how far the forest is to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.analysis.analyse import LEAST, Analysis
from search.analysis.decisive import Decisive
from search.report.data import Choice
from search.report.figures import Figure
from search.report.html import figure_box, text_with_units
from search.report.importance_figure import SHOWN, Part, importance_bars, name_of, parts_of

LEAST_HELD_OUT = 0.1  # R^2; a forest that predicts less says nothing about what decides
LEAST_SHARE = 0.01  # of a pair that is worth a row


def importance_section(analysis: Analysis, choices: Sequence[Choice], prefix: str, figures: dict[str, Figure]) -> str:
    """Returns the HTML of what decides the accuracy, and adds its figure; empty without any candidate."""
    if not analysis.candidates:
        return ""
    found = analysis.decisive
    if found is None or found.held_out < LEAST_HELD_OUT:
        return f'<h2>What matters</h2><p class="note">{text_with_units(_why_not(analysis))}</p>'
    parts = parts_of(found.mains, analysis.permuted, choices)
    figures[f"{prefix}-importance"] = importance_bars(parts)
    return (
        f'<h2>What matters</h2><p class="note">{text_with_units(_note(analysis, found, parts))}</p>'
        f"{figure_box(f'{prefix}-importance')}{_pairs(found, choices)}"
    )


def given_up_text(analysis: Analysis) -> str:
    """Returns how many candidates are left out and why, with a space before it; empty where none is."""
    if not analysis.given_up:
        return ""
    was = "1 more was" if analysis.given_up == 1 else f"{analysis.given_up} more were"
    return f" {was} given up early, after less training, and left out."


def _why_not(analysis: Analysis) -> str:
    count = analysis.candidates
    if count < LEAST:
        were = "candidate is" if count == 1 else "candidates are"
        text = f"{count} evaluated {were} too few to tell: {LEAST} are needed."
    elif analysis.decisive is None:
        text = f"All {count} evaluated candidates are equally accurate."
    else:
        text = (
            f"Not shown: a random forest of {count} evaluated candidates predicts those that it has not seen with R² = "
            f"{analysis.decisive.held_out:.2f}, where 0 is no better than their mean. What it takes as decisive would "
            "mean nothing."
        )
    return text + given_up_text(analysis)


def _note(analysis: Analysis, found: Decisive, parts: Sequence[Part]) -> str:
    bars = len({part.bar for part in parts})
    most = f"; the {SHOWN} largest of {bars} are shown" if bars > SHOWN else ""
    return (
        f"What each choice decides of the validation accuracy by itself, as a share of the variance that a random "
        f"forest of {found.candidates} evaluated candidates predicts, all choices drawn independently of each other "
        f"(functional ANOVA). It predicts candidates that it has not seen with R² = {found.held_out:.2f}, where 1 is "
        f"exactly and 0 no better than their mean. Choices of a stage are in one bar{most}. The marks are permutation "
        "importances: what counts among the candidates that the search went to, and sums to 100 %."
        + given_up_text(analysis)
    )


def _pairs(found: Decisive, choices: Sequence[Choice]) -> str:
    names = {choice.key: name_of(choice) for choice in choices}
    shown = [pair for pair in found.pairs if pair[2] >= LEAST_SHARE]
    if not shown:
        text = f"No two decide {100 * LEAST_SHARE:.0f} % or more together beside what each decides alone."
        return f'<p class="note">{text_with_units(text)}</p>'
    cells = [(names.get(one, one), names.get(other, other), share) for one, other, share in shown]
    rows = "".join(
        f'<tr><td class="text">{escape(one)}</td><td class="text">{escape(other)}</td><td>{100 * share:.1f} %</td></tr>'
        for one, other, share in cells
    )
    head = '<th class="text">one</th><th class="text">other</th><th>share</th>'
    note = '<p class="note">What two decide together, beside what each decides alone.</p>'
    return f'{note}<div class="figure scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
