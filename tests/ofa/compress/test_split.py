import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import ofa
from ofa.compress import split_conv, split_linear, split_tucker
from tests.ofa.compress.convolutions import conv_cases


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


def of_rank(shape: tuple[int, int], rank: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.randn(size, generator=generator, dtype=torch.float64) for size in ((shape[0], rank), (rank, shape[1]))
    )
    return left @ right


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.booleans(), st.integers(0, 999))
def test_linear_is_exact_from_its_own_rank_on(inputs: int, outputs: int, rank: int, bias: bool, seed: int) -> None:
    layer = nn.Linear(inputs, outputs, bias=bias).double()
    rank = min(rank, inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(of_rank((outputs, inputs), rank, seed))
        values = torch.randn(2, 3, inputs, dtype=torch.float64)
        for enough in range(rank, min(inputs, outputs) + 1):
            layers = split_linear(layer, enough)
            assert layers.reduce.weight.shape == (enough, inputs) and layers.expand.weight.shape == (outputs, enough)
            close(layers(values), layer(values))
        if rank > 1:
            assert not torch.allclose(split_linear(layer, rank - 1)(values), layer(values), rtol=1e-6, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(conv_cases(groups=True), st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
def test_convolution_at_full_rank_is_exact(case: tuple[nn.Conv2d, Tensor], mode: str) -> None:
    conv, images = case
    layers = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.groups,
        conv.bias is not None,
        mode,
    ).double()
    layers.load_state_dict(conv.state_dict())
    with torch.no_grad():
        full = layers.weight.reshape(conv.groups, conv.out_channels // conv.groups, -1)
        close(split_conv(layers, min(full.shape[1:]))(images), layers(images))
        if conv.groups == 1:
            close(split_tucker(layers, conv.out_channels, conv.in_channels)(images), layers(images))


def test_each_group_of_a_convolution_is_split_on_its_own() -> None:
    conv = nn.Conv2d(8, 12, 3, padding=1, groups=4).double()
    images = torch.randn(2, 8, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        for group in range(4):
            conv.weight[3 * group : 3 * group + 3] = of_rank((3, 18), 1, group).view(3, 2, 3, 3)
        layers = split_conv(conv, 1)
        close(layers(images), conv(images))
    assert layers.reduce.groups == layers.expand.groups == 4


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(4, 6, 5, stride=2, padding=3, dilation=2), (2, 4, 17)),
        (nn.Conv1d(4, 6, 3, dilation=2, padding="same"), (2, 4, 17)),
        (nn.Conv3d(4, 6, (3, 1, 2), stride=(1, 2, 1), padding=(1, 0, 2)), (2, 4, 5, 6, 4)),
    ],
)
def test_other_dimensions(layer: nn.Conv1d | nn.Conv3d, shape: tuple[int, ...]) -> None:
    layer = layer.double()
    values = torch.randn(shape, dtype=torch.float64)
    with torch.no_grad():
        close(split_conv(layer, 6)(values), layer(values))
        close(split_tucker(layer, 6, 4)(values), layer(values))
        thin = split_tucker(layer, 3, 2)
        assert thin(values).shape == layer(values).shape
        assert [type(part) for part in thin] == [type(layer)] * 3


def test_parts_keep_type_mode_and_whether_they_train() -> None:
    layer = nn.Conv2d(4, 6, 3).to(torch.bfloat16).requires_grad_(False).eval()
    for layers in (split_conv(layer, 2), split_tucker(layer, 2, 2)):
        assert {parameter.dtype for parameter in layers.parameters()} == {torch.bfloat16}
        assert not any(parameter.requires_grad for parameter in layers.parameters())
        assert not any(module.training for module in layers.modules())
    linear = nn.Linear(3, 3)
    state = torch.random.get_rng_state()
    trained = split_linear(linear, 2)
    assert all(parameter.requires_grad for parameter in trained.parameters()) and trained.training
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("rank", [0, 5, True, 2.0])
def test_ranks_out_of_range_are_refused(rank: int) -> None:
    with pytest.raises(ofa.InvalidInput, match="whole number from 1 to 4"):
        split_linear(nn.Linear(4, 6), rank)
    with pytest.raises(ofa.InvalidInput, match="1 to 4"):
        split_tucker(nn.Conv2d(3, 4, 3), 5, 3)
    with pytest.raises(ofa.InvalidInput, match="split_conv"):
        split_tucker(nn.Conv2d(4, 4, 3, groups=2), 2, 2)
