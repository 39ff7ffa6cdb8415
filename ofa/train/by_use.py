"""A step in which each weight moves as far as if all networks of the step had it.

In the plain sum, what all networks of a step share gets several gradients and what the largest alone has gets one: no
learning rate suits both. Here each weight gets the mean over the networks that have it, times the number of networks:
what is shared moves as in the sum. Which networks have a weight follows from their Archs: no gradient is held for each
network, and processes that train together exchange nothing more unless each draws Archs of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.task import Batch
from ofa.train.step import StepContext, Strategy
from ofa.views.use import count_use_

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def scaled_by_use(supernet: Supernet, batch: Batch, context: StepContext, *, strategy: Strategy) -> Tensor:
    """Returns the loss of a strategy's step after its backward passes, each weight's gradient scaled by its use.

    It is multiplied by (networks of the step) / (those that have the weight). Where processes draw different Archs, the
    networks of all of them count.

    Raises:
        InvalidInput: the strategy calls `context.backward`, which does not say which network a loss is of, and not
            `context.backward_of`.
    """
    trained = [parameter for parameter in supernet.parameters() if parameter.grad is not None]
    gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
    earlier = [gradient.clone() for gradient in gradients] if context.micro_batch else []
    if earlier:
        torch._foreach_zero_(gradients)  # in place: views have slices of them
    archs: list[Arch] = []

    def collect(arch: Arch, loss: Tensor) -> None:
        context.backward(loss)
        archs.append(arch)

    loss = strategy(supernet, batch, replace(context, backward=refuse_backward, collect=collect))
    counts: Sequence[Tensor] = use_counts(supernet, archs, trained)
    if not context.drawing.alone:
        summed = context.drawing.sum_(torch.cat([count.flatten() for count in counts]).float())
        parts = torch.split(summed / context.drawing.count, [count.numel() for count in counts])
        counts = [part.view_as(count) for part, count in zip(parts, counts, strict=True)]
    for gradient, count in zip(gradients, counts, strict=True):
        gradient.mul_(len(archs) / torch.where(count > 0, count, torch.ones_like(count)))
    if earlier:
        torch._foreach_add_(gradients, earlier)
    return loss


def use_counts(supernet: Supernet, archs: Sequence[Arch], parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Returns for each of the supernet's `parameters` how many networks have each entry, int16 of its shape."""
    counts = [torch.zeros_like(parameter, dtype=torch.int16) for parameter in parameters]
    by_id = {id(parameter): count for parameter, count in zip(parameters, counts, strict=True)}
    for arch in archs:
        count_use_(supernet.plan(arch), by_id)
    return counts


def refuse_backward(loss: Tensor) -> None:
    """Takes the place of `StepContext.backward` where a step must know which network a loss is of.

    Raises:
        InvalidInput: always.
    """
    raise InvalidInput(
        "the strategy does not say which network a loss is of, so that gradients cannot be put together: call "
        "context.backward_of(arch, loss) in place of context.backward(loss), or have them added up: "
        "train.gradients=null"
    )
