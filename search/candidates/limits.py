"""Limits: what a candidate may cost, and the names of searches by their limits.

Costs are known before a candidate is evaluated, so limits are hard. A target is one set of limits on figures
(`search.candidates.figures`), such as {"latency_ms": 4.0, "bytes": 1e6}; one study may serve several targets.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ofa.errors import InvalidInput, is_number
from search.candidates.figures import Floats, check_figure, figure_text, is_latency, unit
from search.run.paths import limit_text

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Target = Mapping[str, float]


@dataclass(frozen=True)
class Limits:
    """The targets that a study serves, and by how much a prediction must stay below them.

    `margin` is a fraction of every latency limit: the latency model's held-out error, because in the end the measured
    latency must meet the limit. The other figures are exact. A mapping gives margins by figure name, and other figures
    have none.
    """

    targets: tuple[Target, ...] = ({},)
    margin: float | Mapping[str, float] = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.margin, Mapping):
            margins = {check_figure(name): check_margin(value) for name, value in sorted(self.margin.items())}
            object.__setattr__(self, "margin", margins)
        else:
            check_margin(self.margin)
        if not self.targets:
            raise InvalidInput("no targets: give at least one, {} where nothing is limited")
        checked = [check_target(target) for target in self.targets]
        object.__setattr__(self, "targets", tuple(sorted(checked, key=lambda target: sorted(target.items()))))

    def allowed(self, target: Target) -> dict[str, float]:
        """Returns the thresholds for predictions under `target`: its limits less the margin."""
        return {name: limit * (1 - self.margin_of(name)) for name, limit in target.items()}

    def margin_of(self, name: str) -> float:
        """Returns the margin below the limits of one figure, a fraction of the limit."""
        if isinstance(self.margin, Mapping):
            return self.margin.get(name, 0.0)
        return self.margin if is_latency(name) else 0.0

    @property
    def hard(self) -> dict[str, float]:
        """The limits that no candidate may exceed: of figures that every target limits, the loosest threshold."""
        names = set.intersection(*(set(target) for target in self.targets))
        return {name: max(self.allowed(target)[name] for target in self.targets) for name in sorted(names)}

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        margin = dict(self.margin) if isinstance(self.margin, Mapping) else self.margin
        return {"targets": [dict(target) for target in self.targets], "margin": margin}


def check_margin(margin: Any) -> float:
    """Returns a valid margin as a float.

    Raises:
        InvalidInput: it is not a fraction below 1.
    """
    if not is_number(margin) or not 0 <= margin < 1:
        raise InvalidInput(f"margin {margin!r} must be a fraction, at least 0 and below 1")
    return float(margin)


def check_target(target: Mapping[str, Any]) -> dict[str, float]:
    """Returns the limits as floats.

    Raises:
        InvalidInput: an unknown name, or a limit that is not a positive, finite number.
    """
    for name, limit in target.items():
        check_figure(name)
        if not is_number(limit) or limit <= 0:
            raise InvalidInput(f"{name}={limit!r} must be a number of {unit(name)} above 0")
    return {name: float(limit) for name, limit in target.items()}


def violations(figures: Mapping[str, float], allowed: Target) -> dict[str, float]:
    """Returns by how much each figure exceeds its limit, a fraction of the limit: above 0 where it is violated.

    Fractions, because samplers add up the violations: milliseconds and bytes would not weigh the same.
    """
    return {name: (float(figures[name]) - limit) / limit for name, limit in allowed.items()}


def meets(figures: Mapping[str, Floats], allowed: Target) -> Bools:
    """Returns a bool (archs,): True where every limit is met."""
    rows = [np.asarray(figures[name]) <= limit for name, limit in allowed.items()]
    count = len(next(iter(figures.values())))
    return np.logical_and.reduce(rows) if rows else np.ones(count, dtype=np.bool_)


def target_text(target: Target) -> str:
    """Returns the limits of a target with their units, such as "latency_ms=4 ms and params=1000000"."""
    return " and ".join(figure_text(name, limit) for name, limit in target.items())


HEADROOM = 1.2  # factor of a default limit over the fastest subnet's latency
SIGNIFICANT_DIGITS = 3  # of a limit computed from a measured latency
LatencyLimits = tuple[float, ...] | Mapping[str, float] | None


def check_latency(latency_ms: Any) -> LatencyLimits:
    """Returns the limits in ms: ascending for one device, a limit by device for several, None without a limit.

    Raises:
        InvalidInput: a value that is not a number above 0, or an empty list or mapping.
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
    return is_number(value) and value > 0


def needs_default_limits(figures: Collection[str], limits: Mapping[str, float]) -> bool:
    """Whether a search without a latency limit gets the default limits.

    It does if latency is optimized, and if nothing else would keep subnets small: without a limit, the largest subnet
    is mostly the best.

    Args:
        figures: the objectives beside the metric.
        limits: of other figures.
    """
    return any(map(is_latency, figures)) or not (limits or figures)


def fraction_limits(fractions: Sequence[float], largest_ms: float, reachable_ms: float) -> tuple[float, ...]:
    """Returns a limit in ms for each fraction of the largest subnet's latency, rounded to three digits.

    Where the fastest subnet (`reachable_ms`), with headroom for measurement noise, is too slow for the lowest fraction,
    that fraction stands for the fastest subnet with its headroom, 1 for the largest as always, and the others are
    interpolated in between: default limits can be met.
    """
    lowest, quickest = fractions[0], reachable_ms * HEADROOM
    if lowest * largest_ms >= quickest:
        limits = [fraction * largest_ms for fraction in fractions]
    else:
        room = max(largest_ms - quickest, 0.0) / (1 - lowest) if lowest < 1 else 0.0
        limits = [quickest + (fraction - lowest) * room for fraction in fractions]
    return tuple(sorted({_round_up(value) for value in limits}))


def search_name(device: str, limits: LatencyLimits, study: str | None = None, seed: int = 0) -> str:
    """Returns the name of a search's folder: `study` if given, otherwise the device and its limits.

    Such as "laptop", "laptop-1-2.5ms", or "laptop-1ms+phone-4ms" where each of several devices has its limit. Every
    seed but 0 is part of the name, also of a `study`: "laptop-1ms-seed3".

    Raises:
        InvalidInput: `study` is not a plain name.
    """
    if study is not None:
        if not str(study) or Path(str(study)).name != str(study) or str(study).endswith((".new", ".old")):
            raise InvalidInput(f"study={str(study)!r} must be a plain name, such as study=long")
        return str(study) + seed_text(seed)
    if isinstance(limits, Mapping):
        return "+".join(search_name(name, (limit,)) for name, limit in limits.items()) + seed_text(seed)
    return (device if limits is None else f"{device}-{'-'.join(map(limit_text, limits))}ms") + seed_text(seed)


def seed_text(seed: int) -> str:
    """Returns the suffix that a seed adds to names, empty for seed 0."""
    return f"-seed{seed}" if seed else ""


def split_seed(name: str) -> tuple[str, int]:
    """Returns the name of a search without its seed, and the seed (the inverse of `search_name`)."""
    match = re.fullmatch(r"(.+)-seed([1-9][0-9]*)", name)
    return (match[1], int(match[2])) if match else (name, 0)


def _round_up(value: float) -> float:
    step = 10.0 ** (math.floor(math.log10(value)) + 1 - SIGNIFICANT_DIGITS)
    return float(f"{math.ceil(value / step - 1e-9) * step:.6g}")
