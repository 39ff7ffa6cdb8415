"""Splits: one linear layer or convolution as a few thinner ones that compute (nearly) the same."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeAlias

import torch
from torch import Tensor, nn

from ofa.compress.tucker import tucker2
from ofa.errors import InvalidInput, is_whole

Conv: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d
CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def split_linear(layer: nn.Linear, rank: int) -> nn.Sequential:
    """Returns two layers, in -> rank (no bias) -> out: the best approximation of that rank; exact from its own rank on.

    Source: Eckart and Young 1936 (truncated SVD); the singular values are shared evenly between the two.

    Raises:
        InvalidInput: a rank that is not 1 to min(in, out).
    """
    _check_rank(rank, min(layer.weight.shape), layer)
    left, right = _factors(layer.weight, rank)
    reduce = nn.Linear(layer.in_features, rank, bias=False, device="meta")
    expand = nn.Linear(rank, layer.out_features, bias=False, device="meta")
    return _sequence(layer, {"reduce": (reduce, right), "expand": (expand, left)})


def split_conv(layer: Conv, rank: int) -> nn.Sequential:
    """Returns a convolution of the same kernel with `rank` outputs per group, and a 1x1 one that makes the outputs.

    The second works on each position alone, so stride, padding (of any mode) and dilation all stay with the
    first, and the weights are two dense layers over the patches: (out, rank) times (rank, in * kernel).
    Source: Zhang et al. 2016, 1505.06798 (there on responses, here on the weights).

    Raises:
        InvalidInput: a rank that is not 1 to min(outputs, inputs * kernel) of a group.
    """
    groups = layer.groups
    matrices = layer.weight.reshape(groups, layer.out_channels // groups, -1)
    _check_rank(rank, min(matrices.shape[1:]), layer)
    factors = [_factors(matrix, rank) for matrix in matrices]
    left, right = torch.cat([pair[0] for pair in factors]), torch.cat([pair[1] for pair in factors])
    reduce = _like(layer, layer.in_channels, groups * rank, groups)
    expand = _pointwise(layer, groups * rank, layer.out_channels, groups)
    return _sequence(layer, {"reduce": (reduce, right), "expand": (expand, left)})


def split_tucker(layer: Conv, rank_out: int, rank_in: int) -> nn.Sequential:
    """Returns three convolutions: 1x1 to `rank_in` channels, the kernel to `rank_out`, 1x1 to the outputs.

    The first has no bias, so padding its output (with zeros, or by any other mode) is the same as padding its
    input.
    Source: Kim et al. 2016, 1511.06530.

    Raises:
        InvalidInput: a rank that is out of range, or a grouped convolution.
    """
    if layer.groups != 1:
        raise InvalidInput(f"Tucker-2 of a convolution with groups={layer.groups}: use split_conv, which takes groups")
    factors = tucker2(layer.weight.detach().double(), rank_out, rank_in)
    reduce = _pointwise(layer, layer.in_channels, rank_in, 1)
    core = _like(layer, rank_in, rank_out, 1)
    expand = _pointwise(layer, rank_out, layer.out_channels, 1)
    return _sequence(
        layer, {"reduce": (reduce, factors.inputs.T), "core": (core, factors.core), "expand": (expand, factors.outputs)}
    )


def _factors(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(out, rank) and (rank, in) whose product is the best approximation; float64."""
    left, values, right = torch.linalg.svd(weight.detach().double(), full_matrices=False)
    root = values[:rank].sqrt()
    return left[:, :rank] * root, root[:, None] * right[:rank]


def _check_rank(rank: int, most: int, layer: nn.Module) -> None:
    if not is_whole(rank, 1, most):
        raise InvalidInput(f"rank={rank!r} for {layer}: give a whole number from 1 to {most}")


def _like(layer: Conv, inputs: int, outputs: int, groups: int) -> Conv:
    return type(layer)(
        inputs,
        outputs,
        layer.kernel_size,  # type: ignore[arg-type]  # one of three classes, each with its own tuples
        stride=layer.stride,  # type: ignore[arg-type]
        padding=layer.padding,  # type: ignore[arg-type]
        dilation=layer.dilation,  # type: ignore[arg-type]
        groups=groups,
        bias=False,
        padding_mode=layer.padding_mode,
        device="meta",
    )


def _pointwise(layer: Conv, inputs: int, outputs: int, groups: int) -> Conv:
    return type(layer)(inputs, outputs, 1, groups=groups, bias=False, device="meta")


def _sequence(layer: nn.Linear | Conv, parts: dict[str, tuple[nn.Module, Tensor]]) -> nn.Sequential:
    """The parts with their weights in the layer's type and place; the last takes over the layer's bias."""
    weight = layer.weight
    for part, values in parts.values():
        shaped = values.reshape(part.get_parameter("weight").shape).to(weight.device, weight.dtype).contiguous()
        part.register_parameter("weight", nn.Parameter(shaped, requires_grad=weight.requires_grad))
    if layer.bias is not None:
        bias = nn.Parameter(layer.bias.detach().clone(), requires_grad=layer.bias.requires_grad)
        next(reversed(parts.values()))[0].register_parameter("bias", bias)
    return nn.Sequential(OrderedDict((name, part) for name, (part, _) in parts.items())).train(layer.training)
