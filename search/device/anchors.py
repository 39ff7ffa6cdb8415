"""Anchors: the subnets that are measured to fit a latency model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.space import Space
from search.device.timing import Floats

POOL = 30  # candidates for every anchor


def choose_anchors(space: Space, macs: Callable[[Sequence[Arch]], Floats], count: int, seed: int) -> list[Arch]:
    """Returns up to `count` distinct Archs: the smallest, the largest, and random ones spread evenly over log MACs.

    Uniform draws of a large space all lie near its middle, while a search under a tight limit ends near its edge.

    Args:
        macs: gives the MACs (N,) of Archs.

    Raises:
        InvalidInput: fewer than two anchors.
    """
    if count < 2:
        raise InvalidInput(f"anchors={count} must be at least 2: the smallest and the largest subnet")
    generator = np.random.default_rng(seed)
    ends = list(dict.fromkeys([space.smallest, space.largest]))
    drawn = (tilted(space, generator) for _ in range(POOL * count))
    pool = [arch for arch in dict.fromkeys(drawn) if arch not in ends]
    if not pool or count <= len(ends):
        return ends[:count]
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


def tilted(space: Space, generator: np.random.Generator) -> Arch:
    """Returns a random Arch whose choices lean together, all small, all large or between."""
    lean = generator.random()
    values = {
        choice.key: choice.values[int(generator.binomial(len(choice.values) - 1, lean))] for choice in space.choices
    }
    return space.arch(values)
