"""Layers in int8 among others: which, and networks simulated and trained so."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ofa.precisions import Int8Layers, LayerPrecision, int8_layers
from ofa.quantization import in_training, int8_weight, simulated

GROUPS = {"first": ("0",), "rest": ("2", "5")}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)]
    return nn.Sequential(*layers).eval()


@pytest.mark.parametrize(("layer", "held"), [("stages.0.conv", True), ("stages.1.conv", False), ("stem", False)])
def test_the_last_group_that_names_a_layer_counts(layer: str, held: bool) -> None:
    layers = Int8Layers((LayerPrecision(("stages.*",), True), LayerPrecision(("stages.1.*",), False)))
    assert layers.holds(layer) == held


def test_all_groups_in_int8_are_the_network_in_int8_and_none_is_it_in_float32() -> None:
    net, images = network(), torch.randn(16, 1, 8, 8)
    with torch.no_grad():
        whole = simulated(net, images)(images)
        assert torch.equal(simulated(net, images, int8_layers(GROUPS, GROUPS))(images), whole)
        assert torch.equal(simulated(net, images, int8_layers(GROUPS, ()))(images), net(images))
        parts = [simulated(net, images, int8_layers(GROUPS, (name,)))(images) for name in GROUPS]
    answers = [whole, net(images), *parts]
    assert all(not torch.equal(one, other) for number, one in enumerate(answers) for other in answers[:number])


def test_what_a_layer_in_int8_leaves_is_rounded_for_the_next_in_float32() -> None:
    net = network()
    images = torch.randn(16, 1, 8, 8)
    with torch.no_grad():
        answer = simulated(net, images, int8_layers(GROUPS, ("first",)))(images)
        low, high = images.aminmax()
        scale = (high - low) / 255
        zero = (-low / scale).round()
        rounded = ((images / scale).round() + zero).clamp(0, 255).sub(zero) * scale
        left = nn.functional.conv2d(rounded, int8_weight(net[0].weight), net[0].bias).relu()
        scale = net[:2](images).max() / 255  # ranges are those of the network in float32
        assert torch.allclose(net[3:](net[2]((left / scale).round().clamp(0, 255) * scale)), answer, atol=1e-5)


def test_in_training_only_weights_of_layers_in_int8_are_rounded() -> None:
    net = network()
    where = int8_layers(GROUPS, ("first",)).by_weight(net)
    called = dict[int, torch.Tensor]()
    images = torch.randn(4, 1, 8, 8)
    with torch.no_grad(), in_training("int8", where):
        for place in (0, 2):
            called[place] = net[place](images if place == 0 else called[0].relu())
    with torch.no_grad():
        low = images.aminmax()
        scale = (low[1] - low[0]) / 255
        zero = (-low[0] / scale).round()
        rounded = ((images / scale).round() + zero).clamp(0, 255).sub(zero) * scale
        expected = nn.functional.conv2d(rounded, int8_weight(net[0].weight), net[0].bias)
        assert torch.allclose(called[0], expected, atol=1e-5)
    assert {"0": True, "2": False}.items() <= {
        name.rpartition(".")[0]: where[id(parameter)] for name, parameter in net.named_parameters()
    }.items()
