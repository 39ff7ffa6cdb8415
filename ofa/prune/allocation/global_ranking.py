"""Global allocation: all pieces of all pools in one ranking."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ofa.prune.allocation.limits import Limits, kept_of, limits_of, read_scores
from ofa.prune.context import AllocationContext
from ofa.prune.granularity.pool import Pool
from ofa.prune.selection import Scores, count_best


def global_(context: AllocationContext, *, allow_empty: bool = False) -> list[int]:
    """Returns how many pieces each pool keeps when the best of all pools together stay.

    Exactly N - round(sparsity * N) of all N pieces are kept, where every pool's step is 1; with steps, the most
    that whole steps allow without exceeding it. Equal scores rank by the order of the pools, then by position,
    so the same scores give the same pieces wherever they are in memory. No pool loses its last step unless
    `allow_empty`, even if that is more than asked for; removed pieces stay removed.
    """
    return rank_globally(context.pools, read_scores(context), context.sparsity, allow_empty=allow_empty)


def rank_globally(
    pools: Sequence[Pool], scores: Sequence[Scores], sparsity: float, *, allow_empty: bool = False
) -> list[int]:
    """Returns the counts of `global_` for these scores, (pieces,) per pool, in any order within their pool."""
    limits = [limits_of(pool, part, allow_empty) for pool, part in zip(pools, scores, strict=True)]
    total = kept_of(sum(pool.pieces for pool in pools), sparsity)
    total = min(max(total, sum(limit.least for limit in limits)), sum(limit.most for limit in limits))
    if any(pool.step > 1 for pool in pools):
        return _rank_steps(pools, scores, limits, total)
    joined = np.concatenate(scores)
    sizes = [pool.pieces for pool in pools]
    for part, limit in zip(np.split(joined, np.cumsum(sizes)[:-1]), limits, strict=True):
        if limit.least:
            part[np.argmax(part)] = np.inf  # so that a pool's best piece comes before all others
    return count_best(joined, sizes, total)


def _rank_steps(pools: Sequence[Pool], scores: Sequence[Scores], limits: Sequence[Limits], total: int) -> list[int]:
    """The counts when pieces go in whole steps: steps rank by the mean score of their pieces.

    Among sets of whole steps of one size, the best means give the highest sum of scores.
    """
    means, owners, sizes = [], [], []
    for index, (pool, part, limit) in enumerate(zip(pools, scores, limits, strict=True)):
        starts = np.arange(limit.least, limit.most, pool.step)
        ends = np.minimum(starts + pool.step, limit.most)
        ordered = -np.sort(-part)[: limit.most].astype(np.float64)
        mean = np.add.reduceat(ordered, starts) / (ends - starts) if len(starts) else ordered[:0]
        means.append(np.minimum.accumulate(mean))  # rounding must not put a pool's later step before an earlier one
        owners.append(np.full(len(starts), index))
        sizes.append(ends - starts)
    order = np.argsort(-np.concatenate(means), kind="stable")
    ranked_sizes = np.concatenate(sizes)[order]
    room = total - sum(limit.least for limit in limits)
    fitting = int(np.searchsorted(np.cumsum(ranked_sizes), room, side="right"))
    extras = np.bincount(np.concatenate(owners)[order[:fitting]], weights=ranked_sizes[:fitting], minlength=len(limits))
    return [limit.least + int(extra) for limit, extra in zip(limits, extras, strict=True)]
