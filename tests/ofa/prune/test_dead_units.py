"""Weights of units that decide nothing become 0, and the network computes the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ofa.prune.granularity._channel import every_width
from ofa.prune.slim import zero_dead_units_


def network(activation: nn.Module) -> nn.Module:
    """Two hidden layers; nothing reads unit 1 of the first, nor unit 2 of the second, which alone reads unit 3."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), activation, nn.Linear(6, 4), activation, nn.Linear(4, 3)).double()
    with torch.no_grad():
        model.get_parameter("2.weight")[:, 1] = 0.0
        model.get_parameter("2.weight")[[0, 1, 3], 3] = 0.0
        model.get_parameter("4.weight")[:, 2] = 0.0
    return model


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Sigmoid()])
def test_what_nothing_reads_becomes_zero(activation: nn.Module) -> None:
    model = network(activation)
    inputs = torch.randn(7, 5, dtype=torch.float64)
    with torch.no_grad():
        before = model(inputs)
        # A column of 5 and a bias twice, and the row of 5 that unit 2 reads the other units by, with its bias.
        assert zero_dead_units_(every_width(model, inputs)) == 2 * 6 + 6
        torch.testing.assert_close(model(inputs), before, rtol=0.0, atol=1e-12)
    assert not model.get_parameter("0.weight")[[1, 3]].any() and not model.get_parameter("0.bias")[[1, 3]].any()
    assert not model.get_parameter("2.weight")[2].any() and model.get_parameter("0.weight")[0].all()


def test_a_unit_that_its_bias_keeps_alive_stays() -> None:
    model = network(nn.ReLU())
    with torch.no_grad():
        model.get_parameter("0.weight")[0] = 0.0
        model.get_parameter("0.bias")[0] = 1.0
        zero_dead_units_(every_width(model, torch.randn(2, 5, dtype=torch.float64)))
    assert model.get_parameter("2.weight")[[0, 1, 3], 0].all() and model.get_parameter("0.bias")[0] == 1.0
