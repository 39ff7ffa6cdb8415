"""Movement: keep the weights that training moves away from zero."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.prune.context import PruneContext


@dataclass(frozen=True)
class Movement:
    """Scores - sum over steps of g * w, of each weight's shape: how far the gradient drove |w| up.

    What is summed lives in the context's memory as "movement/<weight>". Observed after the optimizer's step, so w
    is one step newer than its gradient g, a difference of the order of the learning rate. Removed weights are 0
    and keep their sum.

    Source: Sanh et al. 2020, 2005.07683, equation 2 and section 4 (hard movement pruning).
    """

    def observe(self, context: PruneContext) -> None:
        """Adds a step's -g * w to the memory; a weight without a gradient adds nothing."""
        for name, weight in context.weights.items():
            key = f"movement/{name}"
            before = context.memory.get(key)
            if before is None or before.device != weight.device:
                before = torch.zeros_like(weight) if before is None else before.to(weight.device)
                context.memory[key] = before
            if weight.grad is not None:
                before.addcmul_(weight.detach(), weight.grad.detach(), value=-1)

    def __call__(self, context: PruneContext) -> dict[str, Tensor]:
        """Returns a copy of what was summed so far.

        Raises:
            InvalidInput: no step was observed yet.
        """
        for name in context.weights:
            if f"movement/{name}" not in context.memory:
                raise InvalidInput(
                    f"movement has seen no training step of {name!r} at step {context.step}: "
                    f"give it a schedule whose first event comes later"
                )
        return {name: context.memory[f"movement/{name}"].clone() for name in context.weights}
