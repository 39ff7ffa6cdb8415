"""Numbers as people read them, with their unit; a dash where there is none."""

from __future__ import annotations

import math

NOTHING = "-"


def percent_text(fraction: float | None, digits: int = 2) -> str:
    """Returns a fraction in [0, 1] as "98.61 %"."""
    return NOTHING if fraction is None else f"{100 * fraction:.{digits}f} %"


def ms_text(value: float | None) -> str:
    """Returns milliseconds with three significant digits."""
    if value is None:
        return NOTHING
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(digits, 0)}f} ms"


def count_text(count: float | None) -> str:
    """Returns a count as "950", "12.3 k", "4.56 M" or "1.20 G"."""
    if count is None:
        return NOTHING
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            value = count / size
            return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"
    return f"{count:.0f}"


def bytes_text(count: float | None) -> str:
    """Returns bytes as "950 B", "12.3 kB" or "4.56 MB"."""
    if count is None:
        return NOTHING
    text = count_text(count)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


def signed_points(difference: float | None) -> str:
    """Returns a difference of fractions in percentage points, with its sign, such as "-0.28 points"."""
    if difference is None:
        return NOTHING
    sign = "\N{MINUS SIGN}" if difference < -5e-5 else "+" if difference > 5e-5 else "±"
    return f"{sign}{abs(100 * difference):.2f} points"
