"""Errors a user can cause: one line with the value received, the rule and the nearest valid choices."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import TypeGuard


class InvalidInput(ValueError):
    """Input that cannot be used; the message is one complete line."""


class InvalidArch(InvalidInput):
    """An Arch that is not in the Space it is used with."""


class CollapseWarning(UserWarning):
    """A network that is probably ruined, or not what was requested; the message is one complete line."""


def nearest(value: str, choices: Iterable[str], count: int = 3) -> str:
    """Returns "did you mean a, b?" with the names nearest to `value`, or the first choices where none is near."""
    names = list(dict.fromkeys(choices))
    if not names:
        return "there are none to choose from"
    close = difflib.get_close_matches(value, names, n=count, cutoff=0.5)
    if close:
        return f"did you mean {', '.join(close)}?"
    shown = ", ".join(names[: 3 * count])
    return f"choices: {shown}{', ...' if len(names) > 3 * count else ''}"


def is_whole(value: object, least: float = -math.inf, most: float = math.inf) -> TypeGuard[int]:
    """Returns whether a value is a whole number within bounds; neither True nor 2.0 is one."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_number(value: object) -> TypeGuard[float]:
    """Returns whether a value is a finite number; True is none."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))
