"""Allocation to a budget: as much of another allocation's ranking as a number of MACs, bytes or milliseconds allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from ofa.errors import InvalidInput, nearest
from ofa.prune.allocation.global_ranking import global_
from ofa.prune.context import Allocation, AllocationContext


def budget(
    context: AllocationContext, *, metric: str = "macs", limit: float | None = None, base: Allocation = global_
) -> list[int]:
    """Returns the highest counts of `base` whose cost fits, found by bisection over how many pieces it keeps.

    Without `limit` the sparsity of the event is the fraction of the metric to remove; with it the target goes from
    the full cost to `limit` as the schedule progresses, and ends there. A cost that falls somewhere while pieces
    are added (a measured latency may) gives counts that fit and of which the next higher do not.

    Args:
        context: see `AllocationContext`.
        metric: a key of `context.cost`: "params", "macs", "bytes" or "latency_ms".
        limit: the final cost, in the metric's unit, such as 4.0 (ms).
        base: ranks the pieces and keeps the steps of each pool; its own options decide what may be emptied.

    Raises:
        InvalidInput: the cost has no such metric, or the target is below the least that `base` can reach.
    """

    def cost(counts: list[int]) -> float:
        costs = context.cost(counts)
        if metric not in costs:
            raise InvalidInput(f"metric={metric!r} is not known for this model; {nearest(metric, costs)}")
        return float(costs[metric])

    pieces = sum(pool.pieces for pool in context.pools)

    def keep(count: int) -> list[int]:
        return base(replace(context, sparsity=1 - count / pieces))

    full = cost([pool.pieces for pool in context.pools])
    target = full - context.sparsity * full if limit is None else full + context.progress * (limit - full)
    least = cost(keep(0))
    goal = target if limit is None else min(limit, target)
    tolerance = 1e-9 * abs(full)  # for targets such as 0.1 * full, which arithmetic rounds
    if not least <= goal + tolerance:
        raise InvalidInput(
            f"{metric}={goal:.6g} cannot be reached by removing pieces: the least is {least:.6g} of {full:.6g}"
        )
    return keep(_last_that_fits(lambda count: cost(keep(count)), pieces, target + tolerance, least))


def _last_that_fits(cost: Callable[[int], float], pieces: int, target: float, least: float) -> int:
    """The highest count whose cost is at most the target, for a cost that rises from `least` at a count of 0.

    Interpolation and bisection take turns: costs are nearly linear in the count, and each call may rank millions.
    """
    low, low_cost = 0, least
    high, high_cost = pieces, cost(pieces)
    if high_cost <= target:
        return pieces
    interpolate = True
    while high - low > 1:
        middle = (low + high) // 2
        if interpolate and high_cost > low_cost:
            share = (target - low_cost) / (high_cost - low_cost)
            middle = min(max(low + math.floor(share * (high - low)), low + 1), high - 1)
        interpolate = not interpolate
        middle_cost = cost(middle)
        if middle_cost <= target:
            low, low_cost = middle, middle_cost
        else:
            high, high_cost = middle, middle_cost
    return low
