"""Weights and masks between two trainings of a pruned network: rewound, redrawn or shuffled.

Masks are bool tensors by the name of the parameter; True stays. Keeping the weights as they are needs no function.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ofa.checkpoint import load_weights, weights
from ofa.errors import InvalidInput, nearest
from ofa.inputs import Example
from ofa.prune.initializers.layers import Initializer


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Returns copies of the parameters and buffers by name; shared ones once."""
    return {name: tensor.clone() for name, tensor in weights(model).items()}


def rewind_(model: nn.Module, start: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    """Puts back a snapshot, then sets what the masks remove to 0, in place.

    Taken before training this makes lottery tickets; taken after k steps it is late rewinding.
    Source: Frankle and Carbin 2019, 1803.03635; Frankle et al. 2019, 1903.01611.

    Raises:
        InvalidInput: the snapshot or a mask is of another model; the model is then untouched.
    """
    check_masks(model, masks)
    load_weights(model, start, "the snapshot")
    remove_(model, masks)


def reinitialize_(
    model: nn.Module,
    initializer: Initializer,
    masks: Mapping[str, Tensor],
    generator: torch.Generator,
    images: Example | None = None,
) -> None:
    """Gives the model new initial weights, then sets what the masks remove to 0, in place.

    `images` (N, ...) are for initializers that measure on data; they do so on the whole network, before the removal.

    Raises:
        InvalidInput: a mask is of another model, or the initializer needs images.
    """
    check_masks(model, masks)
    initializer(model, torch.empty(0) if images is None else images, generator)
    remove_(model, masks)


@torch.no_grad()
def remove_(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Sets what the masks remove to exactly 0, in place.

    Raises:
        InvalidInput: a mask is of another model; the model is then untouched.
    """
    check_masks(model, masks)
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        parameters[name].masked_fill_(~mask.to(parameters[name].device), 0)


def shuffle_masks(masks: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Returns masks with the entries of each layer in random order: each layer keeps the same number.

    For masks of single weights; those of channels or blocks lose their structure.
    Source: Frankle et al. 2021, 2009.08576, "shuffling" within each layer.
    """
    shuffled = {}
    for name, mask in masks.items():
        order = torch.randperm(mask.numel(), generator=generator).to(mask.device)
        shuffled[name] = mask.reshape(-1)[order].reshape(mask.shape)
    return shuffled


def random_masks(
    masks: Mapping[str, Tensor], generator: torch.Generator, *, per_layer: bool = True
) -> dict[str, Tensor]:
    """Returns random masks that keep as many weights as `masks`: in each layer, or only altogether.

    With `per_layer` this is `shuffle_masks`. Without, positions are drawn over all layers as one, so that the share of
    each layer is lost too; a layer may then come out empty.
    """
    if per_layer or not masks:
        return shuffle_masks(masks, generator)
    joined = torch.cat([mask.reshape(-1).cpu() for mask in masks.values()])
    parts = torch.split(shuffle_masks({"": joined}, generator)[""], [mask.numel() for mask in masks.values()])
    return {
        name: part.reshape(mask.shape).to(mask.device) for (name, mask), part in zip(masks.items(), parts, strict=True)
    }


def check_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Checks that each mask is a bool tensor of the shape of a parameter.

    Raises:
        InvalidInput: naming the first that is not.
    """
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        if name not in parameters:
            raise InvalidInput(f"a mask is of {name!r}, which the model does not have; {nearest(name, parameters)}")
        if mask.dtype != torch.bool or mask.shape != parameters[name].shape:
            actual = f"{tuple(mask.shape)} of {str(mask.dtype).removeprefix('torch.')}"
            raise InvalidInput(f"the mask of {name!r} is {actual}; it must be {tuple(parameters[name].shape)} of bool")
