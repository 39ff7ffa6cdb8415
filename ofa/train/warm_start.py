"""A warm start: the largest network alone for a part of the training, before its subnets learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ofa.errors import InvalidInput
from ofa.sorting import sort_channels_
from ofa.task import Batch
from ofa.train.own_batches import parts_of
from ofa.train.step import StepContext, Strategy
from ofa.train.strategies import single

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def warm_start(
    supernet: Supernet,
    batch: Batch,
    context: StepContext,
    *,
    strategy: Strategy,
    fraction: float = 0.2,
    sort_channels: bool = True,
) -> Tensor:
    """Returns the loss of a step: of the largest alone in a first `fraction` of the training, then by `strategy`.

    In the first step of the strategy channels are sorted by the norms of their weights, so that narrow subnets begin
    with the best, unless `sort_channels` is false. A resumed training does it exactly once.
    Source: the first phase of Cai et al. 2020 (Once-for-All), 1908.09791.

    Raises:
        InvalidInput: `fraction` is no fraction below 1.
    """
    if not 0 <= fraction < 1:
        raise InvalidInput(f"fraction={fraction!r} of a training for the largest alone must be 0 or more, and below 1")
    opens = round(fraction * context.total_steps)
    if context.schedule_step < opens:
        return single(supernet, parts_of(batch, context.batches, context)[0], context, label_weight=1.0)
    if sort_channels and opens and context.before <= opens and context.micro_batch == 0:
        sort_channels_(supernet, optimizer=context.optimizer)
    return strategy(supernet, batch, context)
