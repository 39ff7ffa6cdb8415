"""The figure of what matters: shares of the variance, a bar a setting and a bar a stage of the architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from search.report.architecture import KINDS, stage_of
from search.report.data import Choice
from search.report.figures import Figure, layout

SETTING = "setting"
COLOURS = {"depth": "$accent", "width": "$dot", "kernel_size": "$second", SETTING: "$star"}
SHOWN = 14  # bars
NAME_LENGTH = 22  # characters
ROW = 30  # pixels


@dataclass(frozen=True)
class Part:
    """One choice or setting: the bar it is in, its kind, its own name, and its shares alone and when permuted."""

    bar: str
    kind: str
    name: str
    share: float
    permuted: float


def parts_of(mains: Mapping[str, float], permuted: Mapping[str, float], choices: Sequence[Choice]) -> list[Part]:
    """Returns a Part a name; choices of the space are in the bar of their stage, settings in one of their own."""
    known = {choice.key: choice for choice in choices}
    depths = [choice.name for choice in choices if choice.kind == "depth"]
    made = []
    for name, share in mains.items():
        choice = known.get(name)
        other = permuted.get(name, 0.0)
        if choice is None:
            made.append(Part(name, SETTING, name, share, other))
        else:
            stage = choice.name if choice.name in depths else stage_of(choice.name, depths)
            made.append(Part(stage, choice.kind, name_of(choice), share, other))
    return made


def name_of(choice: Choice) -> str:
    """Returns a choice as people call it, such as "width of stem.conv"."""
    return f"{KINDS.get(choice.kind, choice.kind)} of {choice.name}"


def importance_bars(parts: Sequence[Part]) -> Figure:
    """Returns horizontal bars, the largest on top, coloured by kind, with a mark where permuting puts each."""
    bars = dict.fromkeys(part.bar for part in parts)
    totals = {bar: sum(part.share for part in parts if part.bar == bar) for bar in bars}
    shown = sorted(totals, key=lambda bar: -totals[bar])[:SHOWN]
    kinds = list(dict.fromkeys(part.kind for part in sorted(parts, key=lambda part: list(COLOURS).index(part.kind)
                               if part.kind in COLOURS else len(COLOURS))))  # fmt: skip
    traces: list[Figure] = [_bars(kind, shown, parts) for kind in kinds]
    permuted = [100 * sum(part.permuted for part in parts if part.bar == bar) for bar in shown]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "when permuted",
            "x": permuted,
            "y": list(range(len(shown))),
            "text": [escape(bar) for bar in shown],
            "hovertemplate": "%{text}, permuted: %{x:.1f} %<extra></extra>",
            "marker": {"color": "$ink", "symbol": "line-ns-open", "size": 13, "line": {"width": 2, "color": "$ink"}},
        }
    )
    frame = layout("share, %", "", height=ROW * len(shown) + 150)
    frame["barmode"] = "stack"
    frame["xaxis"] |= {"rangemode": "tozero"}
    frame["yaxis"] |= {"tickvals": list(range(len(shown))), "ticktext": [escape(_short(bar)) for bar in shown]}
    frame["yaxis"] |= {"range": [len(shown) - 0.4, -0.6], "showgrid": False, "ticks": ""}
    frame["legend"] |= {"y": 1.0, "yanchor": "bottom", "traceorder": "normal"}
    return {"data": traces, "layout": frame}


def _bars(kind: str, shown: Sequence[str], parts: Sequence[Part]) -> Figure:
    own = [[part for part in parts if part.bar == bar and part.kind == kind] for bar in shown]
    return {
        "type": "bar",
        "orientation": "h",
        "name": escape(KINDS.get(kind, kind)),
        "x": [100 * sum(part.share for part in group) for group in own],
        "y": list(range(len(shown))),
        "text": ["<br>".join(f"{escape(part.name)}: {100 * part.share:.1f} %" for part in group) for group in own],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": COLOURS.get(kind, "$limit")},
        "width": 0.62,
    }


def _short(name: str) -> str:
    """The name, whose end says more than its beginning."""
    return name if len(name) <= NAME_LENGTH else f"…{name[1 - NAME_LENGTH :]}"
