"""Units that are added are halves of others: the outputs stay, the network gets wider."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from ofa.errors import InvalidInput
from ofa.models import LeNet5, ResNet
from ofa.prune import Constant, Pruner
from ofa.prune.allocation import per_layer
from ofa.prune.criteria import random_
from ofa.prune.granularity import channel
from ofa.prune.growing import GrowUnits
from ofa.randomize import randomize_


def lenet() -> torch.nn.Module:
    return LeNet5((1, 8, 8), 4, channels=[8, 16], hidden=[24, 16], batch_norm=True)


def residual() -> torch.nn.Module:
    return ResNet((1, 8, 8), 4, depth=8, widths=[8, 8, 16])


@pytest.mark.parametrize("make", [lenet, residual])
def test_outputs_stay_when_units_are_split(make) -> None:
    torch.manual_seed(0)
    model = randomize_(make()).eval()
    images = torch.randn(16, 1, 8, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    parts = {"granularity": partial(channel, multiple_of=1), "criterion": random_, "allocation": per_layer}
    grow = GrowUnits(add=0.5, every=1, until=3, noise=0.0, least=0.25)
    pruner = Pruner(model, optimizer, schedule=Constant(0.7), regrowth=grow, example_input=images[:2], **parts)
    before, density = model(images), pruner.density
    live = [units.clone() for units in pruner.granularity.alive(pruner.masks)]
    for parameter in model.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.ones_like(parameter)
    pruner.step()
    assert pruner.density > 1.3 * density
    torch.testing.assert_close(model(images), before, rtol=1e-4, atol=1e-4)
    for was, now in zip(live, pruner.granularity.alive(pruner.masks), strict=True):
        assert bool((now | ~was).all()) and int(was.sum()) < int(now.sum()) <= round(0.75 * len(now))
    name = next(iter(pruner.weights))
    momentum = optimizer.state[dict(model.named_parameters())[name]]["momentum_buffer"]
    new = pruner.granularity.alive(pruner.masks)[0] & ~live[0]
    assert not momentum[new].any() and momentum[live[0]].any()
    pruner.step()
    pruner.step()
    torch.testing.assert_close(model(images), before, rtol=1e-4, atol=1e-4)
    slim, _ = pruner.slim()
    torch.testing.assert_close(slim.eval()(images), before, rtol=1e-3, atol=1e-3)


def test_noise_tells_halves_apart() -> None:
    torch.manual_seed(0)
    model = randomize_(lenet()).eval()
    parts = {"granularity": partial(channel, multiple_of=1), "criterion": random_, "allocation": per_layer}
    images = torch.randn(16, 1, 8, 8)
    pruner = Pruner(
        model, schedule=Constant(0.7), regrowth=GrowUnits(every=1, until=9), example_input=images[:2], **parts, seed=1
    )
    before = model(images)
    pruner.step()
    apart = (model(images) - before).abs().mean() / before.abs().mean()
    assert 0 < apart < 0.2
    rows = model.conv1.weight[pruner.masks["conv1.weight"].flatten(1).any(dim=1)].flatten(1)
    assert len(torch.unique(rows, dim=0)) == len(rows)


def test_what_cannot_grow_is_refused() -> None:
    with pytest.raises(InvalidInput, match="GrowUnits adds whole channels"):
        Pruner(lenet(), schedule=Constant(0.5), regrowth=GrowUnits())
    with pytest.raises(InvalidInput, match="add=0"):
        GrowUnits(add=0.0)
