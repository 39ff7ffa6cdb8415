"""Filters: the weights that make one output channel, as a row."""

from __future__ import annotations

from torch import Tensor, nn

from ofa.prune.context import PruneContext


def filters(context: PruneContext, name: str, values: Tensor) -> Tensor:
    """Returns `values`, of the shape of the weight `name`, as (output channels, inputs * kernel).

    Dimension 0 of a weight is its outputs, save in transposed convolutions: (inputs, outputs / groups, kernel).
    """
    groups = _transposed_groups(context.model, name)
    if groups is None:
        return values.reshape(len(values), -1)
    inputs, outputs = values.shape[:2]
    split = values.reshape(groups, inputs // groups, outputs, -1)
    return split.transpose(1, 2).reshape(groups * outputs, -1)


def by_weight(context: PruneContext, name: str, scores: Tensor) -> Tensor:
    """Returns `scores` (output channels,) as a criterion returns them: rows of dimension 0.

    For a transposed convolution, whose dimension 0 is its inputs, each weight gets the score of its output.
    """
    groups = _transposed_groups(context.model, name)
    if groups is None:
        return scores
    shape = context.weights[name].shape
    spread = scores.reshape(groups, 1, shape[1]).expand(groups, shape[0] // groups, shape[1])
    return spread.reshape(shape[0], shape[1], *(1 for _ in shape[2:])).expand(shape)


def live_filters(context: PruneContext, name: str) -> Tensor:
    """Returns which output channels have any weight left, bool (output channels,)."""
    return filters(context, name, context.masks[name]).any(dim=1)


def _transposed_groups(model: nn.Module, name: str) -> int | None:
    module = model.get_submodule(name.rpartition(".")[0])
    return module.groups if isinstance(module, nn.modules.conv._ConvTransposeNd) else None
