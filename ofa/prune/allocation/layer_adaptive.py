"""Layer-adaptive magnitude: a global ranking of each weight's share in its own layer."""

from __future__ import annotations

import numpy as np

from ofa.errors import InvalidInput
from ofa.prune.allocation.global_ranking import rank_globally
from ofa.prune.allocation.limits import kept_of, read_scores
from ofa.prune.context import AllocationContext
from ofa.prune.selection import Scores


def lamp(context: AllocationContext, *, allow_empty: bool = False) -> list[int]:
    """Returns how many pieces each pool keeps when they rank by their LAMP score, over all pools together.

    The LAMP score of a piece is its score squared, divided by the sum of squares of the pieces of its pool that
    score as high or higher. It is meant for the criterion `magnitude` (scores |w|), and works for any score of 0
    or more. The order within a pool stays that of the scores. Exact counts, steps and ties are those of `global_`.

    Raises:
        InvalidInput: a score is negative.

    Source: Lee et al. 2021, 2010.07611, equation 4.
    """
    pools, parts = context.pools, read_scores(context)
    total = max(1, kept_of(sum(pool.pieces for pool in pools), context.sparsity))
    ranked = [_scores(part, total + pool.step, pool.name) for pool, part in zip(pools, parts, strict=True)]
    return rank_globally(pools, ranked, context.sparsity, allow_empty=allow_empty)


def _scores(scores: Scores, ranked: int, name: str) -> Scores:
    """The LAMP scores of the best `ranked` pieces, highest first; -1 for the other ones, -inf for those gone.

    No pool keeps more pieces than all together do, so the others need no score, which saves sorting them.
    """
    alive = int(np.count_nonzero(scores > -np.inf))
    result = np.full(scores.size, -np.inf)
    if not alive:
        return result
    first = scores.size - alive
    lowest = float(scores.min() if not first else scores.min(where=scores > -np.inf, initial=np.inf))
    if lowest < 0:
        raise InvalidInput(
            f"lamp squares the scores, so they must be 0 or more; the least of {name!r} is {lowest:.4g}: "
            f"use the criterion magnitude, or the allocation global_"
        )
    ranked = min(ranked, alive)
    best = np.partition(scores, scores.size - ranked)[scores.size - ranked :]
    best.sort()
    squares = np.square(best[::-1], dtype=np.float64)
    ahead = np.cumsum(squares)
    result[:alive] = -1.0
    np.divide(squares, ahead, out=squares, where=ahead > 0)  # 0 where all so far are 0
    result[:ranked] = squares
    return result
