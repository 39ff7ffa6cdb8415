"""The average of a supernet's weights as the teacher of its subnets: steadier than the largest as it is in a step.

Source: Tarvainen and Valpola 2017 (Mean teacher), 1703.01780; here targets are known, and the average is that of
`TrainSettings.ema`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.norms import BatchNorm
from ofa.resolution import resized
from ofa.task import Batch
from ofa.train.average import AVERAGE
from ofa.train.step import StepContext, Strategy

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def taught_by_average(supernet: Supernet, batch: Batch, context: StepContext, *, strategy: Strategy) -> Tensor:
    """Returns the loss of a strategy's step whose subnets learn from the largest with averaged weights.

    The largest itself learns from targets. In the first step, before there is an average, that is the weights as they
    are. A teacher of the training comes first.

    Raises:
        InvalidInput: the training has no average.
    """
    if batch.teacher is not None:
        return strategy(supernet, batch, context)
    if context.step and not _has_average(supernet, context):
        raise InvalidInput("there is no average of the weights to learn from: set ema, such as train.ema=0.99")
    return strategy(supernet, batch, replace(context, guide=average_outputs(supernet, batch, context)))


def average_outputs(supernet: Supernet, batch: Batch, context: StepContext) -> Any:
    """Returns the outputs of the largest with averaged weights for a batch, norms by the batch and without dropout."""
    largest = supernet.space.largest
    with torch.no_grad(), _averages_in(supernet.model, context.optimizer), context.autocast():
        view = supernet.subnet(largest).eval()
        for module in view.modules():
            if isinstance(module, BatchNorm):
                module.train()
        return context.task.call(view, batch._replace(inputs=resized(batch.inputs, largest)))


def _has_average(supernet: Supernet, context: StepContext) -> bool:
    return any(AVERAGE in context.optimizer.state.get(parameter, {}) for parameter in supernet.parameters())


@contextmanager
def _averages_in(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """The parameters hold their averages within the block; nothing is copied."""
    pairs = [
        (parameter, state[AVERAGE])
        for parameter in model.parameters()
        if AVERAGE in (state := optimizer.state.get(parameter, {}))
    ]
    trained = [parameter.data for parameter, _ in pairs]
    try:
        for parameter, average in pairs:
            parameter.data = average
        yield
    finally:
        for (parameter, _), data in zip(pairs, trained, strict=True):
            parameter.data = data
