"""Latency limits as a user gives them: one, several, one a device, or none (then fractions of the largest subnet's)."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ofa.errors import InvalidInput
from search.figures import is_latency
from search.objectives import ACCURACY
from search.paths import limit_text

HEADROOM = 1.2  # of a default limit over the quickest subnet
SIGNIFICANT_DIGITS = 3  # of a limit that is a fraction of a measured latency
LatencyLimits = tuple[float, ...] | Mapping[str, float] | None


def check_latency(latency_ms: Any) -> LatencyLimits:
    """Returns the limits in ms, ascending, of one device; a limit by device where several are named; None for none.

    Raises:
        InvalidInput: something else than numbers above 0, or an empty list or mapping.
    """
    if latency_ms is None:
        return None
    if isinstance(latency_ms, Mapping):
        return _check_devices(latency_ms)
    values = list(latency_ms) if isinstance(latency_ms, Sequence) and not isinstance(latency_ms, str) else [latency_ms]
    if not values:
        raise InvalidInput("latency_ms=[] has no limit in it; give one or more, or leave latency_ms out")
    for value in values:
        if not _is_limit(value):
            raise InvalidInput(f"latency_ms={value!r} must be a number of milliseconds above 0, such as latency_ms=4")
    return tuple(sorted({float(value) for value in values}))


def _check_devices(latency_ms: Mapping[Any, Any]) -> dict[str, float]:
    if not latency_ms:
        raise InvalidInput("latency_ms={} names no device; give a limit for each, or leave latency_ms out")
    for device, value in latency_ms.items():
        if not _is_limit(value):
            raise InvalidInput(
                f"latency_ms={{{device}: {value!r}}} must give a device one number of milliseconds above 0, "
                f"such as latency_ms={{{device}: 4}}"
            )
    return {str(device): float(value) for device, value in latency_ms.items()}


def _is_limit(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0


def check_fractions(fractions: Any) -> tuple[float, ...]:
    """Returns the fractions of the largest subnet's latency, ascending; none where there is to be no limit.

    Raises:
        InvalidInput: not a list of numbers above 0 and at most 1.
    """
    if fractions is None:
        return ()
    is_list = isinstance(fractions, Sequence) and not isinstance(fractions, str)
    values = list(fractions) if is_list else []
    good = [
        value for value in values if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1
    ]
    if not is_list or good != values:
        raise InvalidInput(
            f"latency_fractions={fractions!r} must be fractions of the largest subnet's latency, "
            f"each above 0 and at most 1, such as [0.3, 0.5, 0.75], or null for no latency limit"
        )
    return tuple(sorted(set(map(float, values))))


def needs_default_limits(objectives: Collection[str], limits: Mapping[str, float]) -> bool:
    """Whether a search without a latency limit of its own gets the default ones.

    It does where latency is optimised, and where nothing else would keep a subnet small: accuracy alone, without a
    limit, is highest in the largest.
    """
    return any(map(is_latency, objectives)) or not (limits or set(objectives) - {ACCURACY})


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


def search_name(device: str, limits: LatencyLimits, study: str | None = None, seed: int = 0) -> str:
    """Returns the name of a search's folder: `study`, or the device and the limits where they were given.

    Such as "laptop", "laptop-1-2.5ms", or "laptop-1ms+phone-4ms" where each of several devices has its limit. Every
    seed but 0 is part of the name, a given one too: "laptop-1ms-seed3".

    Raises:
        InvalidInput: `study` is no plain name.
    """
    if study is not None:
        if not str(study) or Path(str(study)).name != str(study) or str(study).endswith((".new", ".old")):
            raise InvalidInput(f"study={str(study)!r} must be a plain name, such as study=long")
        return str(study) + seed_text(seed)
    if isinstance(limits, Mapping):
        return "+".join(search_name(name, (limit,)) for name, limit in limits.items()) + seed_text(seed)
    return (device if limits is None else f"{device}-{'-'.join(map(limit_text, limits))}ms") + seed_text(seed)


def seed_text(seed: int) -> str:
    """Returns what a seed adds to names, nothing for seed 0."""
    return f"-seed{seed}" if seed else ""


def split_seed(name: str) -> tuple[str, int]:
    """Returns the name of a search without its seed, and the seed: what `search_name` was given."""
    found = re.fullmatch(r"(.+)-seed([1-9][0-9]*)", name)
    return (found[1], int(found[2])) if found else (name, 0)


def _round_up(value: float) -> float:
    step = 10.0 ** (math.floor(math.log10(value)) + 1 - SIGNIFICANT_DIGITS)
    return float(f"{math.ceil(value / step - 1e-9) * step:.6g}")
