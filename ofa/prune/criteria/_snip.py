"""SNIP: how strongly the loss depends on whether a connection is there."""

from __future__ import annotations

from torch import Tensor

from ofa.prune.context import PruneContext
from ofa.prune.criteria.gradients import finite, mean_gradient


def snip(context: PruneContext) -> dict[str, Tensor]:
    """Returns |g * w|, of each weight's shape, float64; g is the gradient of the mean loss over all batches.

    g * w is the derivative of the loss by a factor c = 1 on the weight. Meant for a network before training,
    once, on about ten images per class. The paper divides by the sum over all weights, which changes no order.
    The model runs in eval mode, where a fresh batch norm passes its input on.

    Raises:
        InvalidInput: no batches, or a gradient that is not finite.
    Source: Lee et al. 2019, 1810.02340, equations 5 and 6.
    """
    gradients = mean_gradient(context, context.labeled("snip"))
    scores = {name: (gradient.double() * context.weights[name].detach()).abs() for name, gradient in gradients.items()}
    return finite("snip", scores)
