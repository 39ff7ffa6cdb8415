"""The section on importance: a bar per setting and stage, the strongest pairs, and how reliable they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from search.analysis.analyze import LEAST, Analysis, Decisive
from search.report.data import Choice
from search.report.document import KINDS as COLORS
from search.report.document import Section
from search.report.figures import Figure, layout
from search.report.pictures import KINDS, shortened, stage_of

LEAST_HELD_OUT = 0.1  # R^2; the importances of a forest that predicts worse mean nothing
LEAST_SHARE = 0.01  # smallest share of a pair with a row
SETTING = "setting"
SHOWN = 14  # bars
NAME_LENGTH = 22  # characters
ROW = 30  # pixels


@dataclass(frozen=True)
class Part:
    """One choice or setting: its bar, kind and name, and its share alone."""

    bar: str
    kind: str
    name: str
    share: float


def importance_section(analysis: Analysis, choices: Sequence[Choice], prefix: str) -> Section | None:
    """Returns the section on importance; None without candidates. The name of its figure begins with `prefix`."""
    if not analysis.candidates:
        return None
    decisive = analysis.decisive
    if decisive is None or decisive.held_out < LEAST_HELD_OUT:
        return Section("importance.html", {"note": _why_not(analysis), "figure_name": ""})
    parts = parts_of(decisive.mains, choices)
    figure = f"{prefix}-importance"
    names = {choice.key: name_of(choice) for choice in choices}
    pairs = [
        (names.get(first, first), names.get(second, second), f"{100 * share:.1f} %")
        for first, second, share in decisive.pairs
        if share >= LEAST_SHARE
    ]
    return Section(
        "importance.html",
        {
            "note": _note(analysis, decisive, parts),
            "figure_name": figure,
            "pairs_note": "What two choices explain together, beyond what each explains alone."
            if pairs
            else f"No two choices explain {100 * LEAST_SHARE:.0f} % or more together beyond what each explains alone.",
            "pairs": pairs,
        },
        {figure: importance_bars(parts)},
    )


def given_up_text(analysis: Analysis) -> str:
    """Returns how many candidates are left out and why, after a space; empty if there are none."""
    if not analysis.given_up:
        return ""
    others = "1 more was" if analysis.given_up == 1 else f"{analysis.given_up} more were"
    return f" {others} stopped early, after less training, and left out."


def _why_not(analysis: Analysis) -> str:
    count = analysis.candidates
    if count < LEAST:
        were = "candidate is" if count == 1 else "candidates are"
        text = f"{count} evaluated {were} too few to tell; at least {LEAST} are needed."
    elif analysis.decisive is None:
        text = f"All {count} evaluated candidates are equally accurate."
    else:
        text = (
            f"Not shown: a random forest fitted to {count} evaluated candidates predicts unseen ones with R² = "
            f"{analysis.decisive.held_out:.2f}, where 0 is no better than their mean; its importances mean nothing."
        )
    return text + given_up_text(analysis)


def _note(analysis: Analysis, decisive: Decisive, parts: Sequence[Part]) -> str:
    bars = len({part.bar for part in parts})
    most = f"; the {SHOWN} largest of {bars} are shown" if bars > SHOWN else ""
    return (
        "Each bar is the share of the variance of the metric on validation that a choice explains by itself, by "
        f"functional ANOVA on a random forest fitted to {decisive.candidates} evaluated candidates, all choices drawn "
        f"independently. The forest predicts unseen candidates with R² = {decisive.held_out:.2f}, where 1 is exact and "
        f"0 is no better than their mean. Choices of the same stage share a bar{most}." + given_up_text(analysis)
    )


def parts_of(mains: Mapping[str, float], choices: Sequence[Choice]) -> list[Part]:
    """Returns a Part for each name; choices of the space are in the bar of their stage, settings in their own."""
    choice_of = {choice.key: choice for choice in choices}
    depths = [choice.name for choice in choices if choice.kind == "depth"]
    parts = []
    for name, share in mains.items():
        choice = choice_of.get(name)
        if choice is None:
            parts.append(Part(name, SETTING, name, share))
        else:
            stage = choice.name if choice.name in depths else stage_of(choice.name, depths)
            parts.append(Part(stage, choice.kind, name_of(choice), share))
    return parts


def name_of(choice: Choice) -> str:
    """Returns the readable name of a choice, such as "width of stem.conv"."""
    return f"{KINDS.get(choice.kind, choice.kind)} of {choice.name}"


def importance_bars(parts: Sequence[Part]) -> Figure:
    """Returns horizontal bars, the largest on top, colored by kind."""
    bars = dict.fromkeys(part.bar for part in parts)
    totals = {bar: sum(part.share for part in parts if part.bar == bar) for bar in bars}
    top_bars = sorted(totals, key=lambda bar: -totals[bar])[:SHOWN]
    order = list(COLORS)
    kinds = sorted({part.kind: None for part in parts}, key=lambda kind: order.index(kind) if kind in order else 99)
    frame = layout("share of variance, %", "", height=ROW * len(top_bars) + 150)
    frame["barmode"] = "stack"
    frame["xaxis"] |= {"rangemode": "tozero"}
    frame["yaxis"] |= {
        "tickvals": list(range(len(top_bars))),
        "ticktext": [escape(shortened(bar, NAME_LENGTH)) for bar in top_bars],
    }
    frame["yaxis"] |= {"range": [len(top_bars) - 0.4, -0.6], "showgrid": False, "ticks": "", "ticklabelstandoff": 6}
    frame["legend"] |= {"y": 1.0, "yref": "paper", "yanchor": "bottom", "traceorder": "normal"}
    traces = [_bars(kind, top_bars, parts) for kind in kinds]
    return {"data": traces, "layout": frame}


def _bars(kind: str, top_bars: Sequence[str], parts: Sequence[Part]) -> Figure:
    groups = [[part for part in parts if part.bar == bar and part.kind == kind] for bar in top_bars]
    return {
        "type": "bar",
        "orientation": "h",
        "name": escape(KINDS.get(kind, kind)),
        "x": [100 * sum(part.share for part in group) for group in groups],
        "y": list(range(len(top_bars))),
        "text": ["<br>".join(f"{escape(part.name)}: {100 * part.share:.1f} %" for part in group) for group in groups],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": COLORS.get(kind, "$limit")},
        "width": 0.62,
    }
