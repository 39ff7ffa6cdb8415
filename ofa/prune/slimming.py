"""From a pruner's masks to a slim model and its optimizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.prune import optimizer_state
from ofa.prune.granularity import ChannelGranularity, Granularity
from ofa.prune.granularity.channel import every_width
from ofa.prune.slim import slim


def slim_model(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    granularity: Granularity,
    masks: Mapping[str, Tensor],
    example_input: Tensor | None,
) -> tuple[nn.Module, torch.optim.Optimizer | None]:
    """Returns the model without dead channels and the optimizer, its state cut alike.

    Raises:
        InvalidInput: see `Pruner.slim`.
    """
    if example_input is None:
        raise InvalidInput("slim() compares outputs: give the pruner example_input=, (N, C, H, W)")
    if isinstance(granularity, ChannelGranularity):
        supernet = granularity.supernet
        alive = zip(granularity.groups, granularity.alive(masks), strict=True)
        made = slim(supernet, {group.name: ~kept for group, kept in alive})
    else:
        made = slim(every_width(model, example_input))
    new = None if optimizer is None else optimizer_state.cut(optimizer, model, made.model, made.slices)
    return made.model, new
