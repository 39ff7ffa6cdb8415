"""Small pieces of HTML; all text in them is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


def text_with_units(text: str) -> str:
    """Returns the text escaped, numbers kept on one line with their units and a sign before them."""
    kept = escape(text).replace(" %", f"{NO_BREAK_SPACE}%").replace(" ms", f"{NO_BREAK_SPACE}ms")
    return kept.replace("≤ ", f"≤{NO_BREAK_SPACE}")


def facts_list(facts: Mapping[str, str]) -> str:
    """Returns a row of labels and values; nothing where there are none."""
    items = "".join(f"<li>{escape(label)}<b>{escape(text)}</b></li>" for label, text in facts.items())
    return f'<ul class="facts">{items}</ul>' if items else ""


def figure_box(name: str) -> str:
    """Returns the place where the script draws the figure of that name."""
    return f'<div class="figure"><div id="{escape(name)}"></div></div>'


def captioned_figure(name: str, title: str, sentences: str) -> str:
    """Returns the place of a figure that stands in a grid beside others, with a title and what it says."""
    return (
        f'<div class="figure"><h3>{escape(title)}</h3><div id="{escape(name)}"></div>'
        f'<p class="note">{text_with_units(sentences)}</p></div>'
    )
