"""Latency limits as a user gives them: one, several, or none (then fractions of the largest subnet's)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ofa.errors import InvalidInput
from search.paths import limit_text

HEADROOM = 1.2  # of a default limit over the quickest subnet
SIGNIFICANT_DIGITS = 3  # of a limit that is a fraction of a measured latency


def check_latency(latency_ms: Any) -> tuple[float, ...] | None:
    """Returns the limits in ms, ascending, or None where none is given.

    Raises:
        InvalidInput: something else than numbers above 0, or an empty list.
    """
    if latency_ms is None:
        return None
    values = list(latency_ms) if isinstance(latency_ms, Sequence) and not isinstance(latency_ms, str) else [latency_ms]
    if not values:
        raise InvalidInput("latency_ms=[] has no limit in it; give one or more, or leave latency_ms out")
    for value in values:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value <= 0:
            raise InvalidInput(f"latency_ms={value!r} must be a number of milliseconds above 0, such as latency_ms=4")
    return tuple(sorted({float(value) for value in values}))


def check_fractions(fractions: Any) -> tuple[float, ...]:
    """Returns the fractions of the largest subnet's latency, ascending.

    Raises:
        InvalidInput: not a list of numbers above 0 and at most 1.
    """
    values = list(fractions) if isinstance(fractions, Sequence) and not isinstance(fractions, str) else []
    good = [
        value for value in values if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1
    ]
    if not values or good != values:
        raise InvalidInput(
            f"latency_fractions={fractions!r} must be fractions of the largest subnet's latency, "
            f"each above 0 and at most 1, such as [0.3, 0.5, 0.75]"
        )
    return tuple(sorted(set(map(float, values))))


def fraction_limits(fractions: Sequence[float], largest_ms: float, reachable_ms: float) -> tuple[float, ...]:
    """Returns a limit in ms for each fraction of the largest subnet's latency, rounded to three digits.

    Where the quickest subnet (`reachable_ms`), with headroom for noise of measurement, is too slow for the
    lowest fraction, that one means the quickest with its headroom instead, 1 the largest as ever, and the others
    what is between: default limits can be met.
    """
    lowest, quickest = fractions[0], reachable_ms * HEADROOM
    if lowest * largest_ms >= quickest:
        asked = [fraction * largest_ms for fraction in fractions]
    else:
        room = max(largest_ms - quickest, 0.0) / (1 - lowest) if lowest < 1 else 0.0
        asked = [quickest + (fraction - lowest) * room for fraction in fractions]
    return tuple(sorted({_round_up(value) for value in asked}))


def search_name(device: str, limits: Sequence[float] | None, study: str | None = None) -> str:
    """Returns the name of a search's folder: `study`, or the device and the limits where they were given.

    Raises:
        InvalidInput: `study` is no plain name.
    """
    if study is not None:
        if not str(study) or Path(str(study)).name != str(study) or str(study).endswith((".new", ".old")):
            raise InvalidInput(f"study={str(study)!r} must be a plain name, such as study=long")
        return str(study)
    return device if limits is None else f"{device}-{'-'.join(map(limit_text, limits))}ms"


def _round_up(value: float) -> float:
    step = 10.0 ** (math.floor(math.log10(value)) + 1 - SIGNIFICANT_DIGITS)
    return float(f"{math.ceil(value / step - 1e-9) * step:.6g}")
