"""Outputs of layers, measured channel by channel while the model runs on the batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, nearest
from ofa.prune.context import PruneContext
from ofa.prune.criteria.filters import by_weight
from ofa.prune.criteria.gradients import finite
from ofa.prune.layers import Layer, find_layers, undisturbed


def mean_output(
    context: PruneContext, criterion: str, measure: Callable[[Tensor], Tensor], layers: Sequence[Layer] | None
) -> dict[str, Tensor]:
    """Returns the mean of `measure(output)` over images and positions, for each output channel, (rows,), float64.

    The output is the layer's, or that of the norm it feeds. `measure` works element by element. The model runs in
    eval mode on all of the context's batches.

    Raises:
        InvalidInput: no batches, a weight that is of no layer that runs, or values that are not finite.
    """
    batches = context.labeled(criterion)
    if layers is None:
        layers = find_layers(context.model, batches[0][0].rows(0, 1))
    by_name = {layer.weight: layer for layer in layers}
    sums: dict[str, Tensor] = {}
    counts = dict.fromkeys(context.weights, 0)
    with undisturbed(context.model), torch.no_grad(), ExitStack() as stack:
        for name in context.weights:
            if name not in by_name:
                raise InvalidInput(
                    f"{criterion} measures outputs of convolutions and linear layers, and none with the weight "
                    f"{name!r} ran: give keep={name!r} or another criterion; {nearest(name, by_name)}"
                )
            layer = by_name[name]
            source = context.model.get_submodule(layer.norm or layer.module)
            dim = -1 if isinstance(context.model.get_submodule(layer.module), nn.Linear) else 1

            def hook(module: nn.Module, args: object, output: Tensor, name: str = name, dim: int = dim) -> None:
                values = measure(output).movedim(dim, 0).flatten(1)
                total = values.sum(dim=1, dtype=torch.float64)
                sums[name] = sums[name] + total if name in sums else total
                counts[name] += values.shape[1]

            stack.callback(source.register_forward_hook(hook).remove)
        for inputs, _ in batches:
            inputs.call(context.model)
    means = {name: sums[name] / counts[name] for name in context.weights}
    return {name: by_weight(context, name, mean) for name, mean in finite(criterion, means).items()}
