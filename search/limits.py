"""Limits: what a candidate may cost. All of it is known before anything is evaluated, so limits are hard.

A target is one set of limits on figures (see `search.figures`), such as {"latency_ms": 4.0, "bytes": 1e6}; one
study may serve several targets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.space import Space
from search.figures import COUNTS, Figures, Floats, check_figure, figure_text, is_latency, number_text, unit

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


def smallest_reachable(
    space: Space, figures: Figures, name: str, *, seed: int = 0, samples: int = 512, rounds: int = 20
) -> tuple[float, Arch]:
    """Returns the smallest figure found in `space`, and its Arch: the smallest Arch, samples, then an
    evolution.

    The smallest Arch need not be the quickest: a width that the runtime dislikes can cost more than a larger
    one.
    """
    rng = np.random.default_rng([seed, 1])
    pool = [space.smallest, *(space.sample(rng) for _ in range(samples))]
    scores = np.asarray(figures(pool)[name], dtype=np.float64)
    for _ in range(rounds):
        best = [pool[index] for index in np.argsort(scores, kind="stable")[:16]]
        children = [space.mutate(arch, rng) for arch in best]
        children += [space.crossover(best[0], arch, rng) for arch in best[1:]]
        pool = best + children
        scores = np.asarray(figures(pool)[name], dtype=np.float64)
    least = int(np.argmin(scores))
    return float(scores[least]), pool[least]


def check_reachable(space: Space, figures: Figures, limits: Limits, *, seed: int = 0) -> None:
    """Ends an impossible search before it starts.

    Raises:
        InvalidInput: a target that no Arch meets, with the smallest reachable figure.
    """
    for name in sorted({name for target in limits.targets for name in target}):
        asked = {target[name]: limits.allowed(target)[name] for target in limits.targets if name in target}
        if (np.asarray(figures([space.smallest])[name]) <= min(asked.values())).all():
            continue
        least, _ = smallest_reachable(space, figures, name, seed=seed)
        for limit, allowed in sorted(asked.items()):
            if least > allowed:
                raise InvalidInput(_unreachable(name, limit, least, limits.margin_of(name)))
    for target in limits.targets:
        together = limits.allowed(target)
        if len(together) > 1 and find_unseen(space, figures, together, set(), np.random.default_rng([seed, 2])) is None:
            raise InvalidInput(f"no subnet found that meets {target_text(target)} together; loosen one of them")


def find_unseen(
    space: Space,
    figures: Figures,
    allowed: Target,
    seen: set[Arch],
    rng: np.random.Generator,
    *,
    near: Sequence[Arch] = (),
    tries: int = 2048,
) -> Arch | None:
    """Returns an Arch within the limits that is not in `seen`, or None; costs no evaluation.

    Drawn from the whole space and around `near` and the smallest Arch, so that a tight limit is met too.
    """
    around = [*near, space.smallest]
    for _ in range(0, tries, 128):
        pool = [space.sample(rng) for _ in range(64)]
        pool += [space.mutate(around[int(rng.integers(len(around)))], rng, 0.2) for _ in range(64)]
        fresh = [arch for arch in dict.fromkeys([*pool, space.smallest]) if arch not in seen]
        if fresh:
            good = np.flatnonzero(meets(figures(fresh), allowed))
            if len(good):
                return fresh[int(good[0])]
    return None


def target_text(target: Target) -> str:
    """Returns the limits of a target with their units, such as "latency_ms=4 ms and params=1000000"."""
    return " and ".join(figure_text(name, limit) for name, limit in target.items())


def _unreachable(name: str, limit: float, least: float, margin: float) -> str:
    kept = f" with the margin of {margin:.1%} kept for prediction error" if margin else ""
    reachable = f"{number_text(name, least)} {unit(name)}"
    needed = number_text(name, _round_up(least / (1 - margin)))
    return (
        f"{figure_text(name, limit)} cannot be met{kept}: the smallest reachable is {reachable}; "
        f"ask for {name}={needed} or more"
    )


def _round_up(value: float) -> float:
    """Returns `value` rounded up to 4 significant digits: what is suggested must be reachable as printed."""
    step = 10.0 ** (math.floor(math.log10(value)) - 3)
    return math.ceil(value / step - 1e-9) * step
