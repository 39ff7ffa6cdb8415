"""FPGM: a filter near the center of its layer's filters can be replaced by the others."""

from __future__ import annotations

import torch
from torch import Tensor

from ofa.prune.context import PruneContext
from ofa.prune.criteria.filters import by_weight, filters, live_filters


def fpgm(context: PruneContext) -> dict[str, Tensor]:
    """Returns for each filter the sum of its L2 distances to the layer's other live filters, (rows,), float64.

    The filter nearest to the geometric median has the smallest sum, and goes first. Sums grow with the number
    and the size of filters: to rank layers against one another, wrap it in `normalized`.

    Source: He et al. 2019, 1811.00250, equations 4 to 7.
    """
    scores = {}
    for name, weight in context.weights.items():
        rows = filters(context, name, weight.detach()).double()
        # The distance to itself comes out as a rounding error, not as 0.
        distances = torch.cdist(rows, rows).fill_diagonal_(0.0)
        alive = live_filters(context, name)
        scores[name] = by_weight(context, name, distances[:, alive].sum(dim=1))
    return scores
