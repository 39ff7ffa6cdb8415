"""Limits: what a candidate may cost. All of it is known before anything is evaluated, so limits are hard.

A figure is a free number of an Arch: predicted "latency_ms", "macs", "params", "bytes". A target is one set
of limits, such as {"latency_ms": 4.0, "bytes": 1e6}; one study may serve several targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput, nearest
from ofa.space import Space

FIGURES = ("latency_ms", "macs", "params", "bytes")
UNITS = {"latency_ms": "ms", "macs": "MACs", "params": "params", "bytes": "bytes"}

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Target = Mapping[str, float]
# The free figures of Archs, by name, each an array (archs,); "latency_ms" is a prediction.
Figures = Callable[[Sequence[Arch]], Mapping[str, Floats]]


@dataclass(frozen=True)
class Limits:
    """The targets a study serves, and by how much a prediction must stay below them.

    `margin` is a fraction, taken off latency limits alone: the latency model's held-out error, since the
    figure that must meet the limit in the end is a measured one. The other figures are exact.
    """

    targets: tuple[Target, ...] = ({},)
    margin: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.margin < 1:
            raise InvalidInput(f"margin {self.margin!r} must be a fraction, at least 0 and below 1")
        if not self.targets:
            raise InvalidInput("no targets: give at least one, {} where nothing is limited")
        checked = tuple(dict(sorted(check_target(target).items())) for target in self.targets)
        object.__setattr__(self, "targets", tuple(sorted(checked, key=lambda target: list(target.items()))))

    def allowed(self, target: Target) -> dict[str, float]:
        """Returns what predictions may reach at most for `target`: its limits less the margin."""
        return {name: limit * (1 - self.margin) if name == "latency_ms" else limit for name, limit in target.items()}

    @property
    def hard(self) -> dict[str, float]:
        """What no candidate may exceed: a name that every target limits, at the loosest of those limits."""
        names = set.intersection(*(set(target) for target in self.targets))
        return {name: max(self.allowed(target)[name] for target in self.targets) for name in sorted(names)}

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return {"targets": [dict(target) for target in self.targets], "margin": self.margin}


def check_target(target: Mapping[str, Any]) -> dict[str, float]:
    """Returns the limits as floats.

    Raises:
        InvalidInput: an unknown name, or a limit that is not a positive, finite number.
    """
    for name, limit in target.items():
        if name not in FIGURES:
            raise InvalidInput(f"{name!r} is not a figure to limit; {nearest(str(name), FIGURES)}")
        number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
        if not number or not math.isfinite(limit) or limit <= 0:
            raise InvalidInput(f"{name}={limit!r} must be a number of {UNITS[name]} above 0")
    return {name: float(limit) for name, limit in target.items()}


def violations(figures: Mapping[str, float], allowed: Target) -> dict[str, float]:
    """Returns figure minus limit by name: above 0 where the limit is broken."""
    return {name: float(figures[name]) - limit for name, limit in allowed.items()}


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
                raise InvalidInput(_unreachable(name, limit, least, limits.margin))
    for target in limits.targets:
        together = limits.allowed(target)
        if len(together) > 1 and find_unseen(space, figures, together, set(), np.random.default_rng([seed, 2])) is None:
            raise InvalidInput(f"no subnet found that meets {_text(target)} together; loosen one of them")


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


def _unreachable(name: str, limit: float, least: float, margin: float) -> str:
    unit = UNITS[name]
    needed = least / (1 - margin) if name == "latency_ms" else least
    kept = f" with the margin of {margin:.1%} kept for prediction error" if name == "latency_ms" and margin else ""
    least_text, needed_text = f"{least:.4g} {unit}", f"{_round_up(needed):.4g}"
    return (
        f"{name}={limit:.4g} cannot be met{kept}: the smallest reachable is {least_text}; "
        f"ask for {name}={needed_text} or more"
    )


def _round_up(value: float) -> float:
    """Returns `value` rounded up to 4 significant digits: what is suggested must be reachable as printed."""
    step = 10.0 ** (math.floor(math.log10(value)) - 3)
    return math.ceil(value / step - 1e-9) * step


def _text(target: Target) -> str:
    return " and ".join(f"{name}={limit:.4g}" for name, limit in target.items())
