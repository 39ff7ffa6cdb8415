"""Taylor: the change of the loss on removal of a weight, to first order."""

from __future__ import annotations

import torch
from torch import Tensor

from ofa.prune.context import PruneContext
from ofa.prune.criteria.gradients import batch_gradient, differentiable, finite


def taylor(context: PruneContext) -> dict[str, Tensor]:
    """Returns the mean of (g * w)**2 over the batches, of each weight's shape, float64; g is a batch's gradient.

    The model runs in eval mode on all of the context's batches.

    Raises:
        InvalidInput: no batches, or a gradient that is not finite.
    Source: Molchanov et al. 2019, 1906.10771, equation 8.
    """
    batches = context.labelled("taylor")
    scores = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in context.weights.items()}
    with differentiable(context):
        for inputs, labels in batches:
            for name, gradient in batch_gradient(context, inputs, labels).items():
                change = gradient.double() * context.weights[name].detach()
                scores[name].addcmul_(change, change, value=1 / len(batches))
    return finite("taylor", scores)
