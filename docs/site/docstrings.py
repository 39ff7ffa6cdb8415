"""An extension of Griffe: a line of a docstring that describes several parameters at once becomes one for each."""

from __future__ import annotations

import re
from typing import Any

import griffe

NAMES = r"(?P<indent> *)(?P<names>[*\w]+(?:, [*\w]+)+)"
SHARED = re.compile(rf"^{NAMES}(?P<text>: .*(?:\n(?P=indent) +\S.*)*)$", re.MULTILINE)
SECTIONS = re.compile(r"^(?:Args|Attributes):\n(?: +.*\n?|\n)*", re.MULTILINE)


class OneLineEach(griffe.Extension):
    """Rewrites `a, b: text` below Args and Attributes, which Griffe takes for the name of one parameter."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrites the docstring of an object that was loaded."""
        if obj.docstring is not None:
            obj.docstring.value = SECTIONS.sub(lambda section: one_line_each(section[0]), obj.docstring.value)


def one_line_each(section: str) -> str:
    """Returns a section of a docstring with a line for each name."""

    def each(match: re.Match[str]) -> str:
        return "\n".join(f"{match['indent']}{name}{match['text']}" for name in match["names"].split(", "))

    return SHARED.sub(each, section)
