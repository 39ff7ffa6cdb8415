"""What a sampler proposes where it has nothing new of its own: an allowed candidate that did not come yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from search.candidate import Candidate
from search.reach import find_unseen
from search.samplers.context import SamplerContext

CHILDREN = 64
MUTATION = 0.1


def unseen_candidate(
    context: SamplerContext, seen: Collection[Candidate], near: Sequence[Candidate], rng: np.random.Generator
) -> Candidate:
    """Returns a candidate that is not in `seen` and within the target of the step, else within the hard limits.

    It is like one of `near` where that can be. Where there is no such candidate it is any at all, for the study to look
    at.
    """
    limits = context.limits
    for allowed in (limits.allowed(limits.targets[context.step % len(limits.targets)]), limits.hard):
        if near:
            children = [context.space.mutate(near[number % len(near)], rng, MUTATION) for number in range(CHILDREN)]
            fresh = [one for one in dict.fromkeys(children) if one not in seen]
            good = np.flatnonzero(context.feasible(fresh, allowed)) if fresh else np.zeros(0, dtype=np.int64)
            if len(good):
                return fresh[int(good[0])]
        found = find_unseen(context.space, context.figures, allowed, set(seen), rng, near=near)
        if found is not None:
            return found
    return context.space.sample(rng)
