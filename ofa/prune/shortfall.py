"""Whether a pruner removed as much as its schedule says, and not too much."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from ofa.collapse import thin_layers
from ofa.errors import CollapseWarning
from ofa.prune.allocation import budget, by_group, per_layer
from ofa.prune.context import Allocation
from ofa.prune.granularity import Granularity
from ofa.prune.schedules import Schedule

_OWN_SPARSITIES = (by_group, per_layer)  # each layer has its own sparsity, not the schedule's
_TOLERANCE = 0.005  # of rounding to whole pieces, beside one piece in each pool


class Removal(Protocol):
    """What a pruner has removed so far, and how it decides what goes; see `Pruner` for each."""

    schedule: Schedule | None
    allocation: Allocation
    granularity: Granularity
    weights: dict[str, torch.nn.Parameter]

    @property
    def masks(self) -> Mapping[str, Tensor]:
        """Bool, True is kept, by name of the parameter."""

    @property
    def progress(self) -> float:
        """How far the schedule is, 0 to 1."""


def removal_warnings(pruner: Removal) -> list[str]:
    """Returns a line for each sign that a pruner removed too much or too little."""
    masks = {name: pruner.masks[name] for name in pruner.weights}
    return [*shortfall(pruner), *thin_layers(masks)]


def warn_of(pruner: Removal) -> None:
    """Warns of each of `removal_warnings`, where a pruner's own method is called."""
    for line in removal_warnings(pruner):
        warnings.warn(line, CollapseWarning, stacklevel=3)


def shortfall(pruner: Removal, final: float | None = None) -> list[str]:
    """Returns a line where a pruner has removed less than the final sparsity of its schedule, or than `final`.

    A sparsity is of pieces (weights, blocks, channels), or of the metric of the allocation `budget`.
    """
    if final is None:
        final = None if pruner.schedule is None else pruner.schedule.final
    if not final:
        return []
    if _function_of(pruner.allocation) in _OWN_SPARSITIES:
        progress = pruner.progress
        return (
            []
            if progress >= 1
            else [f"sparsity {final:.4g} was not reached: the schedule ended {100 * progress:.1f} % of the way"]
        )
    pools = pruner.granularity.pools
    pieces = [pool.pieces for pool in pools]
    remaining = _kept_pieces(pruner)
    metric, limit = _budget_of(pruner.allocation)
    if metric is None:
        removed, unit = 1 - sum(remaining) / sum(pieces), "pieces"
        allowed = _TOLERANCE + len(pools) / sum(pieces)
    else:
        full, left = (float(pruner.granularity.cost(counts)[metric]) for counts in (pieces, remaining))
        final = final if limit is None else max(0.0, 1 - limit / full)
        removed, unit, allowed = 1 - left / full, metric, _TOLERANCE
    if removed >= final - allowed:
        return []
    return [f"sparsity {final:.4g} was not reached: {removed:.4g} of the {unit} are removed"]


def _kept_pieces(pruner: Removal) -> list[int]:
    """Pieces of each pool of which anything is left."""
    masks: dict[str, Tensor] = {name: pruner.masks[name] for name in pruner.weights}
    scores = {name: torch.ones_like(mask, dtype=torch.float32) for name, mask in masks.items()}
    gathered = pruner.granularity.gather(scores, pruner.masks)
    return [int(torch.isfinite(pool).count_nonzero()) for pool in gathered]


def _function_of(allocation: Allocation) -> Any:
    return allocation.func if isinstance(allocation, partial) else allocation


def _budget_of(allocation: Allocation) -> tuple[str | None, float | None]:
    """The metric and the limit of a budget; None where the allocation counts pieces."""
    if _function_of(allocation) is not budget:
        return None, None
    options: dict[str, Any] = allocation.keywords if isinstance(allocation, partial) else {}
    return str(options.get("metric", "macs")), options.get("limit")
