"""Calibration gives the exact statistics of what each layer saw, and touches nothing else."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from ofa._calibrate import calibrate
from ofa.errors import InvalidInput


def net_with(*layers: nn.Module) -> nn.Module:
    net = nn.Sequential(*layers)
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 2.0)
    return net.double()


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    return net_with(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3))


@pytest.fixture
def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    spread = torch.linspace(0, 9, 30).view(-1, 1, 1, 1)
    # Each image with a mean of its own, so that batches differ from each other.
    return torch.randn(30, 2, 8, 8, generator=generator, dtype=torch.float64) + spread


def test_one_batch_gives_exactly_the_batch_statistics(images):
    net = convolutional()
    reference = deepcopy(net)
    for layer in (reference[1], reference[4]):
        layer.momentum = 1.0
    reference.train()(images)
    calibrate(net, images, batch_size=30)
    for layer, expected in ((net[1], reference[1]), (net[4], reference[4])):
        assert torch.equal(layer.running_mean, expected.running_mean)
        assert torch.equal(layer.running_var, expected.running_var)


@pytest.mark.parametrize("batch_size", [7, 10, 16, 29])
def test_several_batches_give_the_pooled_mean_and_variance(images, batch_size):
    net = convolutional()
    calibrate(net, images, batch_size=batch_size)
    # The first layer sees the same values however they are cut, so all of them at once are the reference.
    seen = net[0](images)
    assert torch.allclose(net[1].running_mean, seen.mean((0, 2, 3)), rtol=1e-12)
    assert torch.allclose(net[1].running_var, seen.var((0, 2, 3)), rtol=1e-12)
    # The second sees batches normalized each by its own statistics.
    parts = images.tensor_split(math.ceil(30 / batch_size))
    normalized = [
        nn.functional.batch_norm(net[0](part), None, None, net[1].weight, net[1].bias, True) for part in parts
    ]
    seen = net[3](torch.cat([value.relu() for value in normalized]))
    assert torch.allclose(net[4].running_mean, seen.mean((0, 2, 3)), rtol=1e-10)
    assert torch.allclose(net[4].running_var, seen.var((0, 2, 3)), rtol=1e-10)


def test_it_is_not_the_mean_of_variances(images):
    net = convolutional()
    calibrate(net, images, batch_size=10)
    mean_of_variances = torch.stack([net[0](part).var((0, 2, 3)) for part in images.split(10)]).mean(0)
    assert (net[1].running_var > mean_of_variances).all()
    assert (net[1].running_var / mean_of_variances).max() > 1.5


def test_a_layer_used_twice_pools_both_uses():
    shared = nn.BatchNorm1d(3).double()

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = shared

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x[:, :3]) + self.norm(x[:, 3:])

    values = torch.randn(16, 6, dtype=torch.float64) * 3
    values[:, 3:] += 5
    calibrate(Twice(), values)
    both = torch.cat([values[:, :3], values[:, 3:]])
    assert torch.allclose(shared.running_mean, both.mean(0), rtol=1e-12)
    assert torch.allclose(shared.running_var, both.var(0), rtol=1e-12)


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm1d, (12, 5)),
        (nn.BatchNorm1d, (12, 5, 4)),
        (nn.BatchNorm3d, (6, 5, 2, 3, 4)),
        (nn.SyncBatchNorm, (6, 5, 4, 4)),
    ],
)
def test_every_kind_of_batch_norm(norm, shape):
    values = torch.randn(shape, dtype=torch.float64)
    net = calibrate(net_with(norm(5)), values, batch_size=4)
    rows = values.transpose(0, 1).flatten(1)
    assert torch.allclose(net[0].running_mean, rows.mean(1), rtol=1e-12, atol=1e-12)
    assert torch.allclose(net[0].running_var, rows.var(1), rtol=1e-12)


def test_flags_momentum_counters_weights_and_the_random_state_are_left_alone(images):
    net = nn.Sequential(*convolutional(), nn.Dropout(0.5)).double().train()
    net[1].momentum, net[4].momentum = None, 0.3
    net[1].num_batches_tracked.fill_(7)
    weights = {name: tensor.clone() for name, tensor in net.named_parameters()}
    state = torch.get_rng_state()
    assert calibrate(net, images, batch_size=10) is net
    assert torch.equal(state, torch.get_rng_state())  # dropout drew nothing
    assert (net[1].momentum, net[4].momentum, int(net[1].num_batches_tracked)) == (None, 0.3, 7)
    assert not any(module.training for module in net.modules())
    assert not any("forward" in module.__dict__ for module in net.modules())
    assert all(torch.equal(weights[name], tensor) for name, tensor in net.named_parameters())
    assert all(tensor.grad is None for tensor in net.parameters())


def test_a_net_without_batch_norm_is_only_put_in_eval_mode():
    net = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3), nn.BatchNorm1d(3, track_running_stats=False))
    before = deepcopy(net.state_dict())
    assert not calibrate(net, torch.randn(4, 3)).training
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_a_layer_that_is_not_called_keeps_its_statistics(images):
    net = convolutional()
    net.unused = nn.BatchNorm2d(4)
    net.forward = lambda x: net[1](net[0](x))
    net[4].running_mean.fill_(3.0)
    calibrate(net, images)
    assert (net[4].running_mean == 3).all() and torch.isfinite(net[4].running_var).all()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (torch.full((6, 5), math.nan), "'0': its inputs are NaN"),
        (torch.randn(1, 5), "'0': 1 image gives one value per channel"),
        (torch.randn(0, 5), "0 images"),
    ],
)
def test_failure_is_one_line_and_leaves_the_net_as_it_was(values, words):
    net = net_with(nn.BatchNorm1d(5)).float()
    before = deepcopy(net.state_dict())
    with pytest.raises(InvalidInput, match=words):
        calibrate(net, values)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert net[0].momentum == 0.1 and not net[0].training and "forward" not in net[0].__dict__
