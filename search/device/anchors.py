"""Anchors: the subnets that are measured to fit a latency model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.space import Space
from search.device.timing import Floats

POOL = 30  # candidates for every anchor
# How much the choices of one draw stick together: at 2, draws that lean neither way are uniform ones.
CONCENTRATION = 2.0


def choose_anchors(space: Space, macs: Callable[[Sequence[Arch]], Floats], count: int, seed: int) -> list[Arch]:
    """Returns up to `count` distinct Archs: smallest, largest, and random ones spread evenly over log MACs.

    Uniform draws of a large space all lie near its middle; a search under a tight limit ends near its edge.

    Args:
        space: where the Archs are drawn from.
        macs: gives the MACs (N,) of Archs.
        count: how many are wanted; fewer come back where the space has no more.
        seed: decides the draws.

    Raises:
        InvalidInput: fewer than two anchors.
    """
    if count < 2:
        raise InvalidInput(f"anchors={count} must be at least 2: the smallest and the largest subnet")
    generator = np.random.default_rng(seed)
    ends = list(dict.fromkeys([space.smallest, space.largest]))
    drawn = (leaning(space, generator) for _ in range(POOL * count))
    pool = [arch for arch in dict.fromkeys(drawn) if arch not in ends]
    if not pool:
        return ends
    position = np.log(macs(pool))
    low, high = np.log(macs(ends)).min(), np.log(macs(ends)).max()
    chosen: list[int] = []
    for target in np.linspace(low, high, count)[1:-1]:
        free = np.setdiff1d(np.arange(len(pool)), chosen)
        if len(free) == 0:
            break
        # A random one of the few nearest, so that anchors differ in more than their MACs.
        near = free[np.argsort(np.abs(position[free] - target), kind="stable")[:5]]
        chosen.append(int(generator.choice(near)))
    return [*ends, *(pool[index] for index in chosen)]


def leaning(space: Space, generator: np.random.Generator) -> Arch:
    """Returns a random Arch whose choices lean towards small, large or the middle, each by its own chance."""
    lean = generator.uniform(0.01, 0.99)
    values = {}
    for choice in space.choices:
        chance = generator.beta(CONCENTRATION * lean, CONCENTRATION * (1 - lean))
        values[choice.key] = choice.values[int(generator.binomial(len(choice.values) - 1, chance))]
    return space.arch(values)
