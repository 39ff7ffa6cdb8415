"""Random scores: the control that every other criterion has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from ofa.prune.context import PruneContext


def random_(context: PruneContext) -> dict[str, Tensor]:
    """Returns uniform numbers in [0, 1) from the context's generator, of each weight's shape, float64.

    In float64, because 10 million draws in float32 hold many ties, and ties go by position.
    """
    return {
        name: torch.rand(weight.shape, generator=context.generator, dtype=torch.float64).to(weight.device)
        for name, weight in context.weights.items()
    }
