"""Rounding as in fewer bits: which values are left, gradients that go through, and ranges of activations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.inputs import as_inputs
from ofa.quantization import BLOCK, Simulated, in_training, int4_weight, int8_activation, int8_weight, observed


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_int8_weights_are_whole_multiples_of_the_scale_of_their_output_channel() -> None:
    weight = drawn(4, 3, 3, 3) * torch.tensor([1.0, 10.0, 0.0, 0.1])[:, None, None, None]
    rounded = int8_weight(weight)
    for before, after in zip(weight, rounded, strict=True):
        scale = float(before.abs().max()) / 64 or 1.0
        torch.testing.assert_close(after / scale, (before / scale).round(), atol=1e-4, rtol=0)
    torch.testing.assert_close(int8_weight(weight.transpose(0, 1), 1), rounded.transpose(0, 1))
    # The norm after a layer multiplies its channels, and changes no code.
    torch.testing.assert_close(int8_weight(weight * 3.7), rounded * 3.7)


def test_int4_weights_have_sixteen_values_in_a_block_and_a_smaller_error_than_by_the_largest() -> None:
    weight = drawn(5, BLOCK + 8)
    rounded = int4_weight(weight)
    for part in (slice(0, BLOCK), slice(BLOCK, None)):
        for before, after in zip(weight[:, part], rounded[:, part], strict=True):
            assert len(after.unique()) <= 16
            scale = before.abs().max() / 7
            usual = (before / scale).round() * scale
            assert (after - before).square().sum() <= (usual - before).square().sum() + 1e-6
    kernel = drawn(2, 3, 3, 3)
    assert all(len(channel.unique()) <= 16 for channel in int4_weight(kernel))


def test_activations_keep_zero_and_end_at_their_range() -> None:
    values = torch.tensor([-3.0, -1.0, 0.0, 0.5, 2.0, 9.0])
    rounded = int8_activation(values, torch.tensor(-1.0), torch.tensor(2.0))
    assert rounded[2] == 0 and len(rounded.unique()) == 4  # -3 is cut to -1 and 9 to 2
    torch.testing.assert_close(rounded[1:5], values[1:5], atol=3 / 255, rtol=0)


def net() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3))
    return nn.Sequential(*layers).eval()


def test_a_step_in_int8_or_int4_has_gradients_for_every_weight_and_leaves_the_weights() -> None:
    for bits in ("int8", "int4"):
        model = net()
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        exact = model(drawn(8, 2, 4, 4))
        with in_training(bits):
            rounded = model(drawn(8, 2, 4, 4))
        assert 0 < (rounded - exact).abs().max() < 0.3
        functional.cross_entropy(rounded, torch.zeros(8, dtype=torch.long)).backward()
        assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_ranges_are_those_of_all_inputs_in_any_batches() -> None:
    model, images = net(), drawn(32, 2, 4, 4)
    inputs = as_inputs(images)
    ranges = observed(model, [inputs])
    torch.testing.assert_close(ranges, observed(model, [inputs.rows(0, 10), inputs.rows(10, 32)]))
    assert len(ranges) == 3  # of the convolution's input, of the linear layer's, and of its output
    assert (ranges[0][0], ranges[0][1]) == (images.min(), images.max())
    with torch.no_grad():
        assert 0 < (Simulated(model, ranges)(images) - model(images)).abs().max() < 0.1
