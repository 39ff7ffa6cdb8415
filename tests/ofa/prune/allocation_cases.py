"""What the tests of allocations give them: scores of a few pools, and what counts cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor

from ofa.prune.context import AllocationContext
from ofa.prune.granularity.pool import Pool

GONE = -math.inf

values = st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0]) | st.floats(0, 10)
pools_of_scores = st.lists(st.lists(values | st.just(GONE), min_size=1, max_size=12), min_size=1, max_size=5)
sparsities = st.floats(0, 1)


def context_of(
    scores: Sequence[Sequence[float] | Tensor],
    sparsity: float,
    *,
    steps: Sequence[int] | None = None,
    shapes: Sequence[tuple[int, ...]] | None = None,
    prices: Sequence[float] | None = None,
    progress: float = 1.0,
) -> AllocationContext:
    """A context whose params are the pieces, and whose macs are the pieces times each pool's price, and 10 more."""
    tensors = [torch.as_tensor(part, dtype=torch.float64) for part in scores]
    pools = [
        Pool(
            f"layer{i}.weight",
            len(part),
            len(part),
            shapes[i] if shapes else (len(part), 1),
            steps[i] if steps else 1,
        )
        for i, part in enumerate(tensors)
    ]

    def cost(counts: Sequence[int]) -> Mapping[str, float]:
        paid = prices or [1.0] * len(counts)
        return {"params": sum(counts), "macs": 10 + sum(p * c for p, c in zip(paid, counts, strict=True))}

    return AllocationContext(pools, tensors, sparsity, progress, cost)
