"""Which counts a pool can keep: whole steps, no more than are alive, and at least one unless it may be emptied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ofa.errors import InvalidInput
from ofa.prune.context import AllocationContext
from ofa.prune.granularity.pool import Pool
from ofa.prune.selection import Scores, as_array


@dataclass(frozen=True)
class Limits:
    """The counts that one pool can keep: multiples of `step` from `least` to `most`, both of these included.

    Attributes:
        least: the fewest: one step (all that is alive where that is less), 0 where the pool may be emptied.
        most: the most: what is alive, in whole steps unless that is the whole pool; pruning revives nothing.
        step: see `Pool`.
    """

    least: int
    most: int
    step: int = 1

    def nearest(self, count: float) -> int:
        """Returns the count nearest to `count`; the higher of two equally near ones."""
        if count <= self.least:
            return self.least
        if count >= self.most:
            return self.most
        below = max(self.least, math.floor(count / self.step) * self.step)
        above = self.next_above(below)
        return below if count - below < above - count else above

    def next_above(self, count: int) -> int:
        """Returns the next higher count than `count`, at most `most`."""
        return min((count // self.step + 1) * self.step, self.most)


def limits_of(pool: Pool, scores: Scores, allow_empty: bool = False) -> Limits:
    """Returns the limits of a pool with these scores of its pieces, -inf where a piece is gone."""
    alive = int(np.count_nonzero(scores > -np.inf))
    least = 0 if allow_empty else min(max(pool.step, pool.least), alive)
    most = alive if alive == pool.pieces else max(least, alive - alive % pool.step)
    return Limits(least, most, pool.step)


def read_scores(context: AllocationContext) -> list[Scores]:
    """Returns the scores of each pool as arrays.

    Raises:
        InvalidInput: no pool; a pool's scores are not one for each piece, or NaN; the sparsity is not between 0
            and 1.
    """
    if not context.pools:
        raise InvalidInput("pools=(): an allocation needs at least one pool of pieces")
    if not 0 <= context.sparsity <= 1:
        raise InvalidInput(f"sparsity={context.sparsity!r} is the fraction to remove; it must be between 0 and 1")
    arrays = [as_array(scores) for scores in context.scores]
    if [len(scores) for scores in arrays] != [pool.pieces for pool in context.pools]:
        sizes = {pool.name: pool.pieces for pool in context.pools}
        raise InvalidInput(f"scores of {[len(scores) for scores in arrays]} pieces, but the pools have {sizes}")
    return arrays


def kept_of(pieces: int, sparsity: float) -> int:
    """Returns how many of `pieces` are left: pieces - round(sparsity * pieces), a half rounded to the even count."""
    return pieces - round(sparsity * pieces)


def share_out(quotas: Sequence[float], limits: Sequence[Limits], total: int) -> list[int]:
    """Returns whole counts near the quotas that add up to `total`, the rest going to the largest remainders.

    The quotas keep the limits and add up to about `total`. With steps above 1 the sum is at most `total`, and no
    further step would fit. Equal remainders go to the first pool.
    """
    counts = []
    for quota, limit in zip(quotas, limits, strict=True):
        # A quota that rounding left slightly above a whole step gets that step back as the largest remainder.
        below = math.floor(quota * (1 - 1e-12) / limit.step) * limit.step
        counts.append(limit.most if quota >= limit.most else max(limit.least, below))
    while True:
        left = total - sum(counts)
        gaps = [limit.next_above(count) - count for count, limit in zip(counts, limits, strict=True)]
        fitting = [i for i, gap in enumerate(gaps) if 0 < gap <= left]
        if not fitting:
            return counts
        for i in sorted(fitting, key=lambda i: (counts[i] - quotas[i]) / gaps[i]):
            if gaps[i] <= left:
                counts[i] += gaps[i]
                left -= gaps[i]
