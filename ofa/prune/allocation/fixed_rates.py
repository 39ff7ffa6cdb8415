"""Allocation by layer: the same sparsity everywhere, or one per layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ofa.errors import InvalidInput, nearest
from ofa.prune.allocation.limits import kept_of, limits_of, read_scores
from ofa.prune.context import Allocation, AllocationContext
from ofa.prune.weights import matches


def per_layer(
    context: AllocationContext,
    *,
    sparsities: Mapping[str, float] | None = None,
    rates: Mapping[str, float] | None = None,
    otherwise: Allocation | None = None,
    allow_empty: bool = False,
) -> list[int]:
    """Returns how many pieces each pool keeps when each has its own sparsity: n - round(sparsity * n) of n.

    A pool that no pattern names has the sparsity of the event, so without options all are pruned alike (uniform).
    With a step above 1 a pool keeps the nearest whole steps. Where several patterns name a pool the last counts,
    and one of `sparsities` before one of `rates`.

    Args:
        sparsities: final sparsity by glob of layers or weights, independent of the schedule's; a gradual schedule
            reaches it in proportion to its own progress.
        rates: by glob, how fast a layer goes: its density is (1 - sparsity) ** rate. 0.5 removes about half as much
            per event (the output layer of a lottery ticket), 0 nothing.
        otherwise: how the pools that no pattern names share the sparsity of the event among themselves, such as
            `global_`; None: all alike.
        allow_empty: whether a pool may lose all its pieces.

    Raises:
        InvalidInput: a pattern names no pool, a sparsity is not between 0 and 1, or a rate is negative.

    Source: Frankle and Carbin 2019, 1803.03635, section 2 (the output layer at half the rate).
    """
    sparsities, rates = dict(sparsities or {}), dict(rates or {})
    names = [pool.name for pool in context.pools]
    _check(sparsities, rates, names)
    counts = []
    for pool, scores in zip(context.pools, read_scores(context), strict=True):
        rate = _last(pool.name, rates, 1.0)
        sparsity = context.sparsity if rate == 1 else 1 - (1 - context.sparsity) ** rate
        sparsity = _last(pool.name, {key: value * context.progress for key, value in sparsities.items()}, sparsity)
        counts.append(limits_of(pool, scores, allow_empty).nearest(kept_of(pool.pieces, sparsity)))
    if otherwise is not None:
        free = [at for at, name in enumerate(names) if not any(matches(name, key) for key in (*sparsities, *rates))]
        for at, count in zip(free, _shared_out(context, otherwise, free, counts), strict=True):
            counts[at] = count
    return counts


def _shared_out(
    context: AllocationContext, allocation: Allocation, places: Sequence[int], counts: Sequence[int]
) -> list[int]:
    """The counts of some pools by an allocation that sees these alone; `counts` are those of all."""

    def cost(sizes: Sequence[int]) -> Mapping[str, float]:
        chosen = dict(zip(places, sizes, strict=True))
        return context.cost([chosen.get(at, count) for at, count in enumerate(counts)])

    if not places:
        return []
    pools, scores = [context.pools[at] for at in places], [context.scores[at] for at in places]
    return allocation(replace(context, pools=pools, scores=scores, cost=cost))


def _check(sparsities: Mapping[str, float], rates: Mapping[str, float], names: Sequence[str]) -> None:
    for pattern in [*sparsities, *rates]:
        if not any(matches(name, pattern) for name in names):
            raise InvalidInput(f"the pattern {pattern!r} names nothing that is pruned; {nearest(pattern, names)}")
    for pattern, sparsity in sparsities.items():
        if not 0 <= sparsity <= 1:
            raise InvalidInput(f"sparsities[{pattern!r}]={sparsity!r} must be between 0 and 1")
    for pattern, rate in rates.items():
        if not 0 <= rate < float("inf"):
            raise InvalidInput(f"rates[{pattern!r}]={rate!r} must be 0 (never pruned) or more; 1 is the usual pace")


def _last(name: str, by_pattern: Mapping[str, float], otherwise: float) -> float:
    values = [value for pattern, value in by_pattern.items() if matches(name, pattern)]
    return values[-1] if values else otherwise
