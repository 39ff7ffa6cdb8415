"""Which parts of pruning work together; other combinations are refused before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.prune.allocation import budget, global_, lamp, per_layer, threshold
from ofa.prune.context import Allocation, AllocationContext, Batches, Criterion
from ofa.prune.criteria import (
    Movement,
    Normalized,
    activation,
    apoz,
    grasp,
    norm_scale,
    probabilistic,
    snip,
    synflow,
    taylor,
)
from ofa.prune.granularity import ChannelGranularity, Granularity, NOfMGranularity
from ofa.prune.growing import GrowUnits
from ofa.prune.regrowth import Regrowth
from ofa.prune.schedules import Schedule

SIGNED = (grasp, probabilistic)  # criteria with scores below 0, and Movement
MEASURED = (activation, apoz, grasp, norm_scale, snip, synflow, taylor)  # criteria that need batches
WITHOUT_BATCHES = {norm_scale: "layers", synflow: "input_shape"}  # or this instead


def check_parts(
    criterion: Criterion,
    allocation: Allocation,
    granularity: Granularity,
    schedule: Schedule | None,
    regrowth: Regrowth | GrowUnits | None,
    batches: Batches | None,
    masks: Mapping[str, Tensor],
) -> None:
    """Checks the parts of a pruner against each other; `masks` are those of every weight, full.

    Parts of the user's own are taken as they are: their limits show at their first event.

    Raises:
        InvalidInput: two parts that cannot work together, or an allocation that cannot reach the schedule's sparsity.
    """
    _check_regrowth(granularity, regrowth)
    _check_scores(criterion, allocation)
    if schedule is not None:
        _check_data(criterion, batches)
    _check_ranks(allocation, granularity)
    _try_allocation(allocation, granularity, schedule, masks)


def _check_regrowth(granularity: Granularity, regrowth: Regrowth | GrowUnits | None) -> None:
    if isinstance(regrowth, GrowUnits):
        if not isinstance(granularity, ChannelGranularity):
            raise InvalidInput("GrowUnits adds whole channels: use the granularity channel, or SET or RigL for weights")
    elif regrowth is not None and isinstance(granularity, ChannelGranularity):
        raise InvalidInput(
            f"{type(regrowth).__name__} cannot regrow channels: a removed channel is zero in every layer it passes, so "
            f"no gradient reaches it and it would stay zero; use the granularity weight, n_of_m or block"
        )


def _check_scores(criterion: Criterion, allocation: Allocation) -> None:
    measure = _inner_criterion(criterion)
    if _uses(allocation, lamp) and (isinstance(measure, Movement) or _function(measure) in SIGNED):
        name = getattr(_function(measure), "__name__", type(measure).__name__)
        raise InvalidInput(
            f"lamp squares the scores, so they must be 0 or more, and those of {name} can be negative: "
            f"use the criterion magnitude, or the allocation global_"
        )


def _check_data(criterion: Criterion, batches: Batches | None) -> None:
    measure = _inner_criterion(criterion)
    function = _function(measure)
    instead = WITHOUT_BATCHES.get(function)
    options = measure.keywords if isinstance(measure, partial) else {}
    if batches is None and function in MEASURED and (instead is None or options.get(instead) is None):
        raise InvalidInput(
            f"{function.__name__} measures on data: give the pruner batches=, a function that returns them"
        )


def _check_ranks(allocation: Allocation, granularity: Granularity) -> None:
    """Scores of n of m are ranks: only their order has a meaning."""
    for levelled in (lamp, threshold):
        if isinstance(granularity, NOfMGranularity) and _uses(allocation, levelled):
            raise InvalidInput(
                f"{granularity.n} of {granularity.m} weights rank by their places among {granularity.m}, which "
                f"{levelled.__name__} would read as magnitudes: use the allocation global_ or per_layer"
            )


def _try_allocation(
    allocation: Allocation, granularity: Granularity, schedule: Schedule | None, masks: Mapping[str, Tensor]
) -> None:
    """Runs the allocation once, with equal scores, for the final sparsity (0 without a schedule)."""
    pools = granularity.pools
    alike = {name: torch.ones(mask.shape) for name, mask in masks.items()}
    scores = granularity.gather(alike, masks)
    final = 0.0 if schedule is None else schedule.final
    counts = allocation(AllocationContext(pools, scores, final, 1.0, granularity.cost))
    if schedule is None or not isinstance(granularity, NOfMGranularity):
        return
    for pool, count in zip(pools, counts, strict=True):
        if count * granularity.m > pool.pieces * granularity.n:
            pattern = f"{granularity.n} of {granularity.m}"
            raise InvalidInput(
                f"{pattern} weights cannot be the pattern of {pool.name}, which would keep {count / pool.pieces:.1%}: "
                f"aim at a sparsity of {1 - granularity.n / granularity.m:.4g} or more in every layer, as "
                f"global_ and per_layer do"
            )


def _uses(allocation: Allocation, other: Allocation) -> bool:
    """Whether an allocation is the given one, also inside a budget, or for what `per_layer` leaves to it."""
    if _function(allocation) is budget and isinstance(allocation, partial):
        return _uses(allocation.keywords.get("base", global_), other)
    if _function(allocation) is per_layer and isinstance(allocation, partial):
        inner = allocation.keywords.get("otherwise")
        return other is per_layer or (inner is not None and _uses(inner, other))
    return bool(_function(allocation) is other)


def _inner_criterion(criterion: Any) -> Any:
    return _inner_criterion(criterion.criterion) if isinstance(criterion, Normalized) else criterion


def _function(part: Any) -> Any:
    """The function of a partial; other parts as they are."""
    return _function(part.func) if isinstance(part, partial) else part
