"""GraSP: keep the weights without which gradients would flow less."""

from __future__ import annotations

import math

from torch import Tensor

from ofa.errors import InvalidInput
from ofa.prune.context import PruneContext
from ofa.prune.criteria.gradients import finite, hessian_product, mean_gradient


def grasp(context: PruneContext, temperature: float = 1.0) -> dict[str, Tensor]:
    """Returns w * (H g), of each weight's shape, float64, of either sign: more is better.

    g and H are the gradient and the Hessian of the mean loss over all batches. Removing weight i changes
    the squared norm of the gradient by -2 w_i (H g)_i to first order. The paper's score is -w * (H g) and its
    highest go, those whose removal raises the gradient's norm most; so this is that score times -1. Only the
    prunable weights that are alive count in the norm. Meant for a network before training, once.

    `temperature` divides the model's outputs before the loss, which suits losses of logits: the authors' code
    uses 200, which evens out the classes' probabilities.

    Raises:
        InvalidInput: no batches, a temperature that is not above 0, or a gradient that is not finite.
    Source: Wang et al. 2020, 2002.07376, equations 8 and 9.
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise InvalidInput(f"grasp temperature={temperature!r} must be a number above 0")
    batches = context.labeled("grasp")
    gradients = mean_gradient(context, batches, temperature=temperature)
    flow = {name: gradient * context.masks[name] for name, gradient in gradients.items()}
    curved = hessian_product(context, batches, flow, temperature=temperature)
    scores = {name: product.double() * context.weights[name].detach() for name, product in curved.items()}
    return finite("grasp", scores)
