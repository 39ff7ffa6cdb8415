"""The layers that an initializer gives weights, seen as matrices with one row per neuron or filter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from ofa.inputs import Example
from ofa.norms import NORMS
from ofa.plain_network import check_plain_weights

# In place, from (model, images (N, ...) or any inputs, CPU generator). Convolutions and linear layers get new weights,
# norm layers are reset (1, 0, and fresh statistics), other parameters (position embeddings, ...) stay as they are.
Initializer: TypeAlias = Callable[[nn.Module, Example, torch.Generator], None]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
Layer: TypeAlias = (
    nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
)


def layers(model: nn.Module) -> dict[str, Layer]:
    """Returns the convolutions and linear layers by path, in the model's order; of tied weights, the first.

    Raises:
        InvalidInput: a weight that is computed from other parameters, which setting it would not change.
    """
    check_plain_weights(model, "initializing")
    result: dict[str, Layer] = {}
    seen: set[int] = set()
    for path, module in model.named_modules():
        if isinstance(module, (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)) and id(module.weight) not in seen:
            seen.add(id(module.weight))
            result[path] = module
    return result


def rows(layer: Layer) -> Tensor:
    """Returns the weight as a matrix without gradient, (outputs, inputs of one output): a copy."""
    weight = layer.weight.detach()
    if isinstance(layer, TRANSPOSED):  # (inputs, outputs / groups, kernel...)
        weight = weight.reshape(layer.groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
    return weight.flatten(1).clone()


@torch.no_grad()
def set_rows_(layer: Layer, matrix: Tensor) -> None:
    """Copies a matrix as `rows` gives it into the layer's weight."""
    if isinstance(layer, TRANSPOSED):
        kernel = layer.weight.shape[2:]
        grouped = matrix.reshape(layer.groups, -1, layer.weight.shape[0] // layer.groups, *kernel)
        layer.weight.copy_(grouped.transpose(1, 2).flatten(0, 1))
    else:
        layer.weight.copy_(matrix.reshape(layer.weight.shape))


def fans(layer: Layer) -> tuple[int, int]:
    """Returns how many inputs an output sums over, and how many outputs an input reaches (strides ignored)."""
    kernel = math.prod(layer.weight.shape[2:])
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    first, second = layer.weight.shape[0], layer.weight.shape[1] * groups
    inputs, outputs = (first, second) if isinstance(layer, TRANSPOSED) else (second, first)
    return inputs // groups * kernel, outputs // groups * kernel


@torch.no_grad()
def reset_(model: nn.Module) -> None:
    """Sets biases of the layers to 0, and norm layers to the identity with fresh statistics, in place."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)) and module.bias is not None:
            module.bias.zero_()
        elif isinstance(module, NORMS):
            restart = getattr(module, "reset_parameters", None)
            if restart is not None:
                restart()


def normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Returns standard normal numbers on the CPU, the same for every dtype of model."""
    return torch.randn(shape, generator=generator, dtype=torch.float64)
