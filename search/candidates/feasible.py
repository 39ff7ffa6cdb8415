"""Feasibility: whether a space can meet the limits, and candidates that do; costs no evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Hashable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from ofa.errors import InvalidInput
from search.candidates.figures import Floats, figure_text, number_text, unit
from search.candidates.limits import Limits, Target, meets, target_text

Drawn = TypeVar("Drawn", bound=Hashable)  # an Arch, or a Candidate


COUNTABLE = 4096  # spaces up to this size are searched exhaustively if random draws find nothing


class Drawable(Protocol[Drawn]):
    """A space to draw from: a Space of Archs, or a CandidateSpace."""

    @property
    def smallest(self) -> Drawn:
        """The smallest element."""

    @property
    def size(self) -> float:
        """An upper bound on the number of elements."""

    def every(self) -> Iterator[Drawn]:
        """Returns an iterator over all elements, each once."""

    def sample(self, rng: np.random.Generator) -> Drawn:
        """Returns an element drawn uniformly."""

    def mutate(self, parent: Drawn, rng: np.random.Generator, probability: float = ..., /) -> Drawn:
        """Returns an element near the parent."""

    def crossover(self, first: Drawn, second: Drawn, rng: np.random.Generator, /) -> Drawn:
        """Returns a child of both."""


FiguresOf = Callable[[Sequence[Drawn]], Mapping[str, Floats]]


def smallest_reachable(
    space: Drawable[Drawn],
    figures: FiguresOf[Drawn],
    name: str,
    *,
    seed: int = 0,
    samples: int = 512,
    rounds: int = 20,
) -> tuple[float, Drawn]:
    """Returns the smallest figure found in `space`, and its element: tries the smallest, samples, then an evolution.

    The smallest Arch need not be the fastest: a width that suits the runtime badly can cost more than a larger one.
    """
    rng = np.random.default_rng([seed, 1])
    pool = [space.smallest, *(space.sample(rng) for _ in range(samples))]
    scores = np.asarray(figures(pool)[name], dtype=np.float64)
    for _ in range(rounds):
        best = [pool[index] for index in np.argsort(scores, kind="stable")[:16]]
        children = [space.mutate(parent, rng) for parent in best]
        children += [space.crossover(best[0], parent, rng) for parent in best[1:]]
        pool = best + children
        scores = np.asarray(figures(pool)[name], dtype=np.float64)
    least = int(np.argmin(scores))
    return float(scores[least]), pool[least]


def check_reachable(space: Drawable[Drawn], figures: FiguresOf[Drawn], limits: Limits, *, seed: int = 0) -> None:
    """Refuses a search that cannot meet its limits, before it starts.

    Raises:
        InvalidInput: a target that no Arch meets, with the smallest reachable figure.
    """
    for name in sorted({name for target in limits.targets for name in target}):
        allowed_by_limit = {target[name]: limits.allowed(target)[name] for target in limits.targets if name in target}
        if (np.asarray(figures([space.smallest])[name]) <= min(allowed_by_limit.values())).all():
            continue
        least, _ = smallest_reachable(space, figures, name, seed=seed)
        for limit, threshold in sorted(allowed_by_limit.items()):
            if least > threshold:
                raise InvalidInput(_unreachable(name, limit, least, limits.margin_of(name)))
    for target in limits.targets:
        allowed = limits.allowed(target)
        if len(allowed) > 1 and find_unseen(space, figures, allowed, set(), np.random.default_rng([seed, 2])) is None:
            raise InvalidInput(f"no subnet found that meets {target_text(target)} together; loosen one of them")


def find_unseen(
    space: Drawable[Drawn],
    figures: FiguresOf[Drawn],
    allowed: Target,
    seen: Container[Drawn],
    rng: np.random.Generator,
    *,
    near: Sequence[Drawn] = (),
    tries: int = 2048,
) -> Drawn | None:
    """Returns an element within the limits that is not in `seen`, or None; costs no evaluation.

    It is drawn from the whole space and around `near` and the smallest Arch, so that tight limits can be met too. A
    small space is searched exhaustively: there, None means that nothing is left.
    """
    around = [*near, space.smallest]
    for _ in range(0, tries, 128):
        pool = [space.sample(rng) for _ in range(64)]
        pool += [space.mutate(around[int(rng.integers(len(around)))], rng, 0.2) for _ in range(64)]
        fresh = [drawn for drawn in dict.fromkeys([*pool, space.smallest]) if drawn not in seen]
        if fresh:
            good = np.flatnonzero(meets(figures(fresh), allowed))
            if len(good):
                return fresh[int(good[0])]
    if space.size > COUNTABLE:
        return None
    left = [drawn for drawn in space.every() if drawn not in seen]
    good = np.flatnonzero(meets(figures(left), allowed)) if left else np.array([], dtype=np.int64)
    return left[int(good[0])] if len(good) else None


def _unreachable(name: str, limit: float, least: float, margin: float) -> str:
    reserve = f" with the margin of {margin:.1%} kept for prediction error" if margin else ""
    reachable = f"{number_text(name, least)} {unit(name)}"
    needed = number_text(name, _round_up(least / (1 - margin)))
    return (
        f"{figure_text(name, limit)} cannot be met{reserve}: the smallest reachable is {reachable}; "
        f"ask for {name}={needed} or more"
    )


def _round_up(value: float) -> float:
    """Returns `value` rounded up to 4 significant digits: a suggested limit must be reachable as printed."""
    step = 10.0 ** (math.floor(math.log10(value)) - 3)
    return math.ceil(value / step - 1e-9) * step
