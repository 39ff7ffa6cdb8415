"""Erdős-Rényi allocation: small layers keep more, by their shapes alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ofa.prune.allocation.limits import Limits, kept_of, limits_of, read_scores, share_out
from ofa.prune.context import AllocationContext


def erk(context: AllocationContext, *, allow_empty: bool = False) -> list[int]:
    """Returns how many pieces each pool keeps at densities in proportion to sum(shape) / product(shape).

    The shape is that of the layer's weight, kernel included (Erdős-Rényi-Kernel). A layer whose density would be
    above 1 stays dense, and the others are scaled so that the total is exact: N - round(sparsity * N) of N pieces,
    or with steps the most that does not exceed it. No pool loses its last step unless `allow_empty`.

    Source: Evci et al. 2020, 1911.11134, section 3.
    """
    return _in_proportion(context, lambda shape: sum(shape) / math.prod(shape), allow_empty)


def er(context: AllocationContext, *, allow_empty: bool = False) -> list[int]:
    """Returns how many pieces each pool keeps at densities in proportion to (rows + columns) / (rows * columns).

    As `erk`, with the kernel left out.

    Source: Mocanu et al. 2018, 1707.04780, equation 3.
    """
    return _in_proportion(context, lambda shape: sum(shape[:2]) / math.prod(shape[:2]), allow_empty)


def _in_proportion(
    context: AllocationContext, density: Callable[[tuple[int, ...]], float], allow_empty: bool
) -> list[int]:
    scores = read_scores(context)
    limits = [limits_of(pool, part, allow_empty) for pool, part in zip(context.pools, scores, strict=True)]
    total = kept_of(sum(pool.pieces for pool in context.pools), context.sparsity)
    total = min(max(total, sum(limit.least for limit in limits)), sum(limit.most for limit in limits))
    shares = [pool.pieces * density(pool.shape) for pool in context.pools]
    return share_out(fill(shares, limits, total), limits, total)


def fill(shares: Sequence[float], limits: Sequence[Limits], total: int) -> list[float]:
    """Returns quotas in proportion to the shares, but within the limits, that add up to `total`.

    The sum of clip(scale * share, least, most) is piecewise linear in the scale and never falls, so the scale is
    found exactly between two of the points where a quota meets a limit. `total` is within the limits.
    """
    share = np.asarray(shares, dtype=np.float64)
    least, most = (np.array([getattr(limit, end) for limit in limits], dtype=np.float64) for end in ("least", "most"))

    def quotas(scale: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.clip(scale * share, least, most)

    bends = np.unique(np.concatenate([[0.0], least / share, most / share]))
    sums = np.array([quotas(scale).sum() for scale in bends])
    after = min(int(np.searchsorted(sums, total)), len(bends) - 1)
    if after == 0 or sums[after] == sums[after - 1]:
        return [float(quota) for quota in quotas(bends[after])]
    fraction = (total - sums[after - 1]) / (sums[after] - sums[after - 1])
    before = quotas(bends[after - 1])
    return [float(quota) for quota in before + min(fraction, 1.0) * (quotas(bends[after]) - before)]
