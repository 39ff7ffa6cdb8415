"""Limits: what a candidate may cost. All of it is known before anything is evaluated, so limits are hard.

A target is one set of limits on figures (see `search.figures`), such as {"latency_ms": 4.0, "bytes": 1e6}; one
study may serve several targets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ofa.errors import InvalidInput
from search.figures import COUNTS, Floats, check_figure, figure_text, is_latency, unit

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Target = Mapping[str, float]


@dataclass(frozen=True)
class Limits:
    """The targets a study serves, and by how much a prediction must stay below them.

    `margin` is a fraction, taken off every latency limit: the latency model's held-out error, since the figure
    that must meet the limit in the end is a measured one. The other figures are exact. A mapping has a margin for
    each figure by name, and none for the others.
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
        """Returns what predictions may reach at most for `target`: its limits less the margin."""
        return {name: limit * (1 - self.margin_of(name)) for name, limit in target.items()}

    def margin_of(self, name: str) -> float:
        """Returns what is kept below the limits of one figure, a fraction of them."""
        if isinstance(self.margin, Mapping):
            return self.margin.get(name, 0.0)
        return self.margin if is_latency(name) else 0.0

    @property
    def hard(self) -> dict[str, float]:
        """What no candidate may exceed: a name that every target limits, at the loosest of those limits."""
        names = set.intersection(*(set(target) for target in self.targets))
        return {name: max(self.allowed(target)[name] for target in self.targets) for name in sorted(names)}

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        margin = dict(self.margin) if isinstance(self.margin, Mapping) else self.margin
        return {"targets": [dict(target) for target in self.targets], "margin": margin}


def check_margin(margin: Any) -> float:
    """Returns a margin.

    Raises:
        InvalidInput: no fraction below 1.
    """
    number = isinstance(margin, int | float) and not isinstance(margin, bool)
    if not number or not 0 <= margin < 1:
        raise InvalidInput(f"margin {margin!r} must be a fraction, at least 0 and below 1")
    return float(margin)


def check_target(target: Mapping[str, Any]) -> dict[str, float]:
    """Returns the limits as floats.

    Raises:
        InvalidInput: an unknown name, or a limit that is not a positive, finite number.
    """
    for name, limit in target.items():
        check_figure(name)
        number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
        if not number or not math.isfinite(limit) or limit <= 0:
            raise InvalidInput(f"{name}={limit!r} must be a number of {unit(name)} above 0")
    return {name: float(limit) for name, limit in target.items()}


def check_other_limits(limits: Any) -> dict[str, float]:
    """Returns the limits of figures other than latency as floats; None is no limit.

    Raises:
        InvalidInput: no mapping from such figures to numbers above 0.
    """
    if limits is None:
        return {}
    if not isinstance(limits, Mapping):
        raise InvalidInput(f"search.limits={limits!r} must be limits by figure, such as {{params: 1e6}}")
    given = {name: limit for name, limit in limits.items() if limit is not None}
    for name in given:
        if is_latency(str(name)):
            raise InvalidInput(f"search.limits has {name}; give latency limits as latency_ms={limits[name]}")
        check_figure(name, COUNTS)
    return check_target(given)


def violations(figures: Mapping[str, float], allowed: Target) -> dict[str, float]:
    """Returns by how much each figure is over its limit, a fraction of the limit: above 0 where it is broken.

    Fractions, since samplers add up what is broken: milliseconds and bytes would not weigh the same.
    """
    return {name: (float(figures[name]) - limit) / limit for name, limit in allowed.items()}


def meets(figures: Mapping[str, Floats], allowed: Target) -> Bools:
    """Returns a bool (archs,): True where every limit is kept."""
    rows = [np.asarray(figures[name]) <= limit for name, limit in allowed.items()]
    count = len(next(iter(figures.values())))
    return np.logical_and.reduce(rows) if rows else np.ones(count, dtype=np.bool_)


def target_text(target: Target) -> str:
    """Returns the limits of a target with their units, such as "latency_ms=4 ms and params=1000000"."""
    return " and ".join(figure_text(name, limit) for name, limit in target.items())
