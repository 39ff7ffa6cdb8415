"""A convolution is a dense layer over patches: exactly, and so is its low-rank split two dense layers."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from ofa.compress import split_conv
from tests.ofa.compress.convolutions import conv_cases


def patches(conv: nn.Conv2d, images: Tensor) -> Tensor:
    """Returns (N, positions, C * kernel): every patch that the convolution sees, as a row."""
    rows: Tensor = functional.unfold(images, conv.kernel_size, conv.dilation, conv.padding, conv.stride)
    return rows.transpose(1, 2)


def as_maps(rows: Tensor, like: Tensor) -> Tensor:
    return rows.transpose(1, 2).reshape(like.shape)


@settings(max_examples=40, deadline=None)
@given(conv_cases(groups=False))
def test_convolution_is_unfold_and_a_dense_layer(case: tuple[nn.Conv2d, Tensor]) -> None:
    conv, images = case
    with torch.no_grad():
        full = conv(images)
        dense = functional.linear(patches(conv, images), conv.weight.flatten(1), conv.bias)
        torch.testing.assert_close(as_maps(dense, full), full, rtol=0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(conv_cases(groups=True))
def test_a_grouped_convolution_is_one_dense_layer_a_group(case: tuple[nn.Conv2d, Tensor]) -> None:
    conv, images = case
    with torch.no_grad():
        full = conv(images)
        rows = patches(conv, images).unflatten(2, (conv.groups, -1))  # unfold puts the channel first
        weights = conv.weight.reshape(conv.groups, conv.out_channels // conv.groups, -1)
        dense = torch.einsum("npgk,gok->npgo", rows, weights).flatten(2)
        dense = dense if conv.bias is None else dense + conv.bias
        torch.testing.assert_close(as_maps(dense, full), full, rtol=0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(conv_cases(groups=False), st.integers(1, 30))
def test_the_split_is_two_dense_layers_in_a_row(case: tuple[nn.Conv2d, Tensor], rank: int) -> None:
    conv, images = case
    rank = min(rank, *conv.weight.flatten(1).shape)
    with torch.no_grad():
        split = split_conv(conv, rank)
        maps = split(images)
        first, second = split.reduce.weight.flatten(1), split.expand.weight.flatten(1)
        dense = functional.linear(functional.linear(patches(conv, images), first), second, conv.bias)
        torch.testing.assert_close(as_maps(dense, maps), maps, rtol=0, atol=1e-12)
        # Of all matrices of this rank, the product is the nearest one (Eckart and Young).
        values = torch.linalg.svdvals(conv.weight.flatten(1))
        error = (second @ first - conv.weight.flatten(1)).square().sum()
        torch.testing.assert_close(error, values[rank:].square().sum(), rtol=1e-9, atol=1e-20)
