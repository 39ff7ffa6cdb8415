"""What an allocation is given, and the type of an allocation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ofa.prune.granularity.pool import Pool


@dataclass(frozen=True)
class AllocationContext:
    """How much is to be removed now, and among what.

    Attributes:
        pools: see `Pool`.
        scores: of each piece, floating, on the CPU, (pieces,) a pool; -inf for a piece that is gone already.
        sparsity: fraction to be removed by now, of all pieces, or of what the allocation counts instead.
        progress: how far the schedule is, 0 to 1; 1 at its final sparsity.
        cost: see `Granularity.cost`.
    """

    pools: Sequence[Pool]
    scores: Sequence[Tensor]
    sparsity: float
    progress: float
    cost: Callable[[Sequence[int]], Mapping[str, float]]


# An allocation returns how many pieces each pool keeps; the best ones by score stay, ties by position.
Allocation = Callable[[AllocationContext], list[int]]
