"""Allocation by the score itself: what reaches a level stays."""

from __future__ import annotations

import numpy as np

from ofa.prune.allocation.limits import limits_of, read_scores
from ofa.prune.context import AllocationContext


def threshold(context: AllocationContext, *, level: float = 1.0, allow_empty: bool = False) -> list[int]:
    """Returns how many pieces of each pool score `level` or more, whatever the sparsity of the event.

    With the criterion `std_threshold` and level 1 these are the weights of at least quality * standard deviation.
    No pool loses its last step unless `allow_empty`; with a step above 1 a pool keeps the nearest whole steps.

    Source: Han et al. 2015, 1506.02626, section 3.
    """
    return [
        limits_of(pool, scores, allow_empty).nearest(int(np.count_nonzero(scores >= level)))
        for pool, scores in zip(context.pools, read_scores(context), strict=True)
    ]
