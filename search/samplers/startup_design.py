"""The candidates that a predictor learns from first: allowed, unlike each other, and of every size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from search.candidate import Candidate
from search.candidate_space import CandidateSpace
from search.limits import Bools, meets
from search.pareto import Floats
from search.samplers.context import SamplerContext
from search.samplers.genome import candidates_of, draw_at_levels, genomes_of, mutate

DRAWS = 1024
NEAREST = 32  # in size, of which the one least like those before is taken


def startup_design(
    context: SamplerContext, targets: Sequence[Mapping[str, float]], rng: np.random.Generator
) -> list[Candidate]:
    """Returns a candidate for each of `targets` (what each may cost), or fewer where no more were found.

    Sizes are spread evenly over what a target allows, by the logarithm of the first figure that it limits (of the
    first figure where there is none); among the nearest to a size, the one farthest from all before in features.
    """
    drawn = _allowed(context, targets, rng)
    figures, features = context.figures(drawn), context.space.features(drawn)
    allowed = {id(target): meets(figures, target) for target in targets}
    far = np.full(len(drawn), np.inf)  # squared distance to the nearest one taken
    free = np.ones(len(drawn), dtype=np.bool_)
    taken: list[int] = []
    for place in rng.permutation(len(targets)):
        target = targets[place]
        good = np.flatnonzero(allowed[id(target)] & free)
        if not len(good):
            continue
        size = np.log(np.maximum(np.asarray(figures[next(iter(target), next(iter(figures)))]), 1e-12))
        within = size[allowed[id(target)]]
        wanted = within.min() + (within.max() - within.min()) * (place + 0.5) / len(targets)
        near = good[np.argsort(np.abs(size[good] - wanted), kind="stable")[: max(1, min(NEAREST, len(good) // 4))]]
        best = int(near[np.argmax(far[near])])
        taken.append(best)
        free[best] = False
        far = np.minimum(far, np.square(features - features[best]).sum(axis=1))
    return [drawn[place] for place in taken]


def _allowed(
    context: SamplerContext, targets: Sequence[Mapping[str, float]], rng: np.random.Generator
) -> list[Candidate]:
    """Candidates of every size; where few of them are allowed, more around the smallest."""
    space = context.space
    drawn = _distinct(space, draw_at_levels(space, rng.random(DRAWS), rng))
    masks: list[Bools] = [meets(context.figures(drawn), target) for target in targets]
    if min(int(mask.sum()) for mask in masks) < 4 * len(targets):
        smallest = genomes_of(space, [space.smallest] * DRAWS)
        drawn += _distinct(space, mutate(space, smallest, rng.uniform(0, 0.5, DRAWS), rng))
    return list(dict.fromkeys(drawn))


def _distinct(space: CandidateSpace, genomes: Floats) -> list[Candidate]:
    return list(dict.fromkeys(candidates_of(space, genomes)))
