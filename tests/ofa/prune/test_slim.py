"""Slimming: the slim model computes what the masked one does, and training goes on with the old optimizer's state."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from ofa.errors import InvalidInput
from ofa.models import LeNet5, LeNet5Caffe
from ofa.prune import OneShot, Pruner
from ofa.prune.criteria import random_
from ofa.prune.granularity import channel
from ofa.prune.granularity._channel import every_width
from ofa.prune.slim import slim
from ofa.prune.units import cut_units
from ofa.randomize import randomize_
from tests.ofa import zoo
from tests.ofa.nets import SHAPE, SHIPPED

SLOW = {"resnet32", "resnet56", "mobilenet"}
MODELS = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in SHIPPED]


def pruned(model: nn.Module, example: torch.Tensor, sparsity: float = 0.5, multiple_of: int = 1) -> Pruner:
    return Pruner(
        model,
        schedule=OneShot(sparsity),
        criterion=random_,
        granularity=partial(channel, multiple_of=multiple_of),
        example_input=example,
    )


@pytest.mark.parametrize("name", MODELS)
def test_slim_equals_masked_on_every_shipped_model(name: str) -> None:
    torch.manual_seed(0)
    model = randomize_(SHIPPED[name]().double().eval())
    images = torch.randn(2, *SHAPE, dtype=torch.float64)
    pruner = pruned(model, images)
    slimmed, _ = pruner.slim()
    other = torch.randn(3, *SHAPE, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(slimmed.eval()(other), model(other), rtol=1e-10, atol=1e-10)
    fewer, all_of_them = (sum(p.numel() for p in network.parameters()) for network in (slimmed, model))
    assert fewer < 0.5 * all_of_them
    assert list(slimmed.state_dict()) == list(model.state_dict())


@pytest.mark.parametrize("name", ["lenet5", "resnet20_conv"])
def test_float32_agrees_to_rounding(name: str) -> None:
    torch.manual_seed(0)
    model = randomize_(SHIPPED[name]().eval())
    images = torch.randn(2, *SHAPE)
    slimmed, _ = pruned(model, images, multiple_of=4).slim()
    with torch.no_grad():
        expected = model(images)
        assert float((slimmed.eval()(images) - expected).abs().max()) <= 1e-5 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("name", sorted(zoo.PLAIN))
def test_slim_equals_masked_on_models_of_other_people(name: str) -> None:
    torch.manual_seed(0)
    model = randomize_(zoo.PLAIN[name]().double().eval())
    images = zoo.example().double()
    try:
        pruner = pruned(model, images)
    except InvalidInput as error:
        assert "can go" in str(error) or "can vary" in str(error)
        return
    slimmed, _ = pruner.slim()
    with torch.no_grad():
        torch.testing.assert_close(slimmed.eval()(images), model(images), rtol=1e-9, atol=1e-9)


def test_training_goes_on_in_the_slim_model_as_in_the_masked_one() -> None:
    torch.manual_seed(0)
    model = LeNet5Caffe((1, 16, 16), 4, channels=(8, 12), hidden=20).double()
    optimizer = torch.optim.Adam(
        [
            {"params": list(model.conv1.parameters()), "lr": 1e-3},
            {"params": list(model.conv2.parameters())},
            {"params": [*model.linear.parameters(), *model.classifier.parameters()]},
        ],
        lr=2e-3,
    )
    images, labels = torch.randn(24, 1, 16, 16, dtype=torch.float64), torch.arange(24) % 4
    pruner = Pruner(
        model, optimizer, granularity=partial(channel, multiple_of=2), example_input=images[:2], criterion=random_
    )

    def step(net: nn.Module, optim: torch.optim.Optimizer) -> None:
        optim.zero_grad()
        functional.cross_entropy(net(images), labels).backward()
        optim.step()

    for _ in range(3):
        step(model, optimizer)
        pruner.step()
    pruner.prune(0.5)
    slimmed, new = pruner.slim()
    assert new is not None and type(new) is torch.optim.Adam
    assert [group["lr"] for group in new.param_groups] == [1e-3, 2e-3, 2e-3]
    assert {id(p) for group in new.param_groups for p in group["params"]} == {id(p) for p in slimmed.parameters()}
    for _ in range(5):
        step(model, optimizer)
        pruner.step()
        step(slimmed, new)
    with torch.no_grad():
        torch.testing.assert_close(slimmed(images), model(images), rtol=1e-9, atol=1e-9)


def test_zero_neurons_go_without_masks_and_so_do_those_that_nothing_reads() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3))
    first, second, last = model[1], model[3], model[5]
    with torch.no_grad():
        first.weight[2] = 0  # made of nothing
        first.bias[2] = 0
        second.weight[:, 5] = 0  # read by nothing
        last.weight[:, 1] = 0
        second.weight[2:, 7] = 0  # read by the second neuron alone, which is read by nothing
        second.weight[0, 7] = 0
        first.weight[4] = 0  # made of nothing, but with a bias: a constant that is read
    images = torch.randn(5, 12)
    slimmed, _ = Pruner(model, example_input=images).slim()
    widths = [layer.out_features for layer in slimmed if isinstance(layer, nn.Linear)]
    assert widths == [7, 7, 3]
    torch.testing.assert_close(slimmed(images), model(images))


def test_channels_whose_norm_is_zero_go() -> None:
    torch.manual_seed(0)
    model = randomize_(LeNet5((1, 8, 8), 4, channels=(6, 10), hidden=(12, 8), batch_norm=True).eval())
    with torch.no_grad():
        for norm, channels in ((model.norm1, [0, 3]), (model.norm2, [1, 2, 7])):
            norm.weight[channels] = 0
            norm.bias[channels] = 0
        model.norm1.weight[5] = 0  # a constant is left of this one
    images = torch.randn(4, 1, 8, 8)
    slimmed, _ = Pruner(model, example_input=images).slim()
    assert (slimmed.conv1.out_channels, slimmed.conv2.out_channels) == (4, 7)
    with torch.no_grad():
        torch.testing.assert_close(slimmed.eval()(images), model(images))


def test_zero_channels_whose_removal_would_show_stay() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 2)).double()
    with torch.no_grad():
        model[1].weight[1] = 0
        model[1].bias[1] = 0  # the sigmoid of zero is a half
    slimmed = slim(every_width(model, torch.randn(3, 6, dtype=torch.float64)))
    assert slimmed.model[1].out_features == 4 and slimmed.left
    gone = torch.zeros(4, dtype=torch.bool)
    gone[1] = True
    with pytest.raises(InvalidInput, match="changing the outputs"):
        slim(every_width(model, torch.randn(3, 6, dtype=torch.float64)), {"1": gone})


def test_a_layer_never_loses_its_last_channel() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)
    images = torch.randn(3, 6)
    slimmed, _ = Pruner(model, example_input=images).slim()
    assert slimmed[1].out_features == 1
    torch.testing.assert_close(slimmed(images), model(images))


def test_chosen_units_are_those_of_the_full_model() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    supernet = every_width(model, torch.randn(3, 6))
    network: Any = cut_units(supernet, {"1": torch.tensor([False, True, False, True])})
    assert torch.equal(network[1].weight, model[1].weight[[1, 3]])
    assert torch.equal(network[3].weight, model[3].weight[:, [1, 3]])


def test_slim_needs_an_example_and_leaves_the_masked_model_alone() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(InvalidInput, match="example_input"):
        Pruner(model).slim()
    pruner = pruned(model, torch.randn(3, 6))
    before = copy.deepcopy(model.state_dict())
    pruner.slim()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_model_that_draws_in_eval_mode_is_refused() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(torch.relu(self.first(x))) + (0 if self.quiet else torch.randn(2))

    model = Noisy()
    model.quiet = True  # type: ignore[assignment]
    supernet = every_width(model, torch.randn(3, 6))
    model.quiet = False  # type: ignore[assignment]
    with pytest.raises(InvalidInput, match="must not draw"):
        slim(supernet)


def test_units_that_keep_their_order_go_from_the_end() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    with torch.no_grad():
        for unit in (0, 3, 4):
            model[1].weight[unit] = 0
            model[1].bias[unit] = 0
    supernet = every_width(model, torch.randn(3, 6))
    supernet.unsortable = frozenset({"1"})  # as where a layout inside the unit is hard-coded
    assert slim(supernet).kept["1"].tolist() == [True, True, True, False, False]
