"""Magnitude: a weight is worth its absolute value."""

from __future__ import annotations

import math

from torch import Tensor

from ofa.errors import InvalidInput
from ofa.prune.context import PruneContext


def magnitude(context: PruneContext, p: float = 1) -> dict[str, Tensor]:
    """Returns |w|**p of each weight, of the weight's shape.

    `p` changes no order among single weights; where pieces are blocks or channels it makes them rank by their
    L1 norm (p=1), their L2 norm (p=2), and so on.

    Raises:
        InvalidInput: p is not a number above 0.
    Source: Han et al. 2015, 1506.02626 (weights); Li et al. 2017, 1608.08710 (the L1 norm of filters).
    """
    if not (p > 0 and math.isfinite(p)):
        raise InvalidInput(f"magnitude p={p!r} must be a number above 0, such as 1 or 2")
    sizes = {name: weight.detach().abs() for name, weight in context.weights.items()}
    return sizes if p == 1 else {name: size.double().pow(p) for name, size in sizes.items()}
