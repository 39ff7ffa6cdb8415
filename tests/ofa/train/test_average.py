"""The average of the weights: by its formula, and beside everything that moves, masks or orders a weight."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from ofa import sort_channels_
from ofa._evaluate import evaluate
from ofa.identity import digest_of
from ofa.prune import Cubic, OneShot, Pruner
from ofa.prune.regrowth import SET, RigL
from ofa.train import Event, TrainSettings, parameter_groups, sandwich, train, train_network
from ofa.train.average import AVERAGE, WeightAverage
from tests.ofa.train.conftest import SmallNet

SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
ADAM = partial(torch.optim.Adam, lr=0.01)
SETTINGS = TrainSettings(optimizer=SGD, epochs=4, batch_size=16, ema=0.6, validate_every=1)


def small_net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SmallNet()


@pytest.mark.parametrize("optimizer", [SGD, ADAM])
def test_it_is_the_average_of_weights_and_norm_statistics_by_the_formula(data, optimizer):
    seen: list[dict[str, torch.Tensor]] = []

    def keep(event, state):
        if event is Event.STEP:
            seen.append(copy.deepcopy(state.model.state_dict()))

    model = small_net()
    train_network(model, data, replace(SETTINGS, optimizer=optimizer), callbacks=[keep])
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        expected = seen[0][name]
        for step, weights in enumerate(seen[1:], start=1):
            decay = min(0.6, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * weights[name]
        torch.testing.assert_close(value, expected)
        assert not torch.equal(value, seen[-1][name])


def test_training_itself_is_the_same_and_the_average_is_what_is_validated(data):
    own, averaged = small_net(), small_net()
    plain = train_network(own, data, replace(SETTINGS, ema=None)).history
    history = train_network(averaged, data, SETTINGS).history
    assert [row["loss"] for row in history] == [row["loss"] for row in plain]
    assert [row["scores"] for row in history] != [row["scores"] for row in plain]
    assert history[-1]["scores"]["network"]["accuracy"] == evaluate(averaged, data.validation.in_order())


def test_what_a_pruner_removed_is_zero_in_the_average(data):
    def prune(model, optimizer, total_steps, batches):
        return Pruner(model, optimizer, schedule=Cubic(0.8, begin=2, end=total_steps - 2, every=3))

    model = small_net()
    pruner = train_network(model, data, SETTINGS, prune=prune).pruner
    assert pruner is not None and pruner.density == pytest.approx(0.2, abs=0.01)
    for name, mask in pruner.masks.items():
        assert (dict(model.named_parameters())[name][~mask] == 0).all()


def test_a_channel_sort_moves_the_average_with_the_weights(make_supernet, data):
    supernet = make_supernet()
    optimizer = SGD(parameter_groups(supernet.model))
    average = WeightAverage(supernet.model, optimizer, 0.5, None)
    images = data.validation.images
    view = supernet.subnet(supernet.space.largest).eval()
    for step in range(3):
        supernet.model(images).square().sum().backward()
        optimizer.step()
        average.update(step)
    with torch.no_grad(), average.in_place():
        before = view(images)
    weights = supernet.model.conv.weight.detach().clone()
    sort_channels_(supernet, optimizer=optimizer)
    assert not torch.equal(weights, supernet.model.conv.weight)
    with torch.no_grad(), average.in_place():
        torch.testing.assert_close(view(images), before, rtol=1e-3, atol=1e-4)


def test_the_norm_statistics_of_a_supernet_stay_untouched(make_supernet, data):
    supernet = make_supernet()
    before = [buffer.clone() for buffer in supernet.model.buffers()]
    train(supernet, data, sandwich, SETTINGS)
    assert all(torch.equal(one, other) for one, other in zip(before, supernet.model.buffers(), strict=True))


class Late(nn.Module):
    """Uses a layer only from its fifth call on."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.calls = nn.Linear(64, 4), nn.Linear(64, 4), 0

    def forward(self, images):
        self.calls += 1
        flat = images.flatten(1)
        return self.first(flat) + self.second(flat) if self.calls > 4 else self.first(flat)


def test_a_weight_that_has_no_gradient_at_first_is_averaged_from_its_first_one(data):
    model = Late()
    before = model.second.weight.detach().clone()
    train_network(model, data, replace(SETTINGS, optimizer=ADAM, validate_every=0))
    assert not torch.equal(before, model.second.weight)


def test_the_own_weights_are_back_after_the_block_even_if_it_raises():
    model = small_net()
    optimizer = SGD(parameter_groups(model))
    average = WeightAverage(model, optimizer, 0.5)
    for step in range(2):
        model(torch.randn(4, 1, 8, 8)).square().sum().backward()
        optimizer.step()
        average.update(step)
    own = digest_of(model)
    with pytest.raises(ZeroDivisionError), average.in_place():
        assert digest_of(model) != own
        raise ZeroDivisionError
    assert digest_of(model) == own


@pytest.mark.parametrize("regrowth", [RigL(alpha=0.5, every=2, until=26), SET(fraction_=0.5, every=2, until=26)])
@pytest.mark.parametrize("optimizer", [SGD, ADAM])
def test_weights_that_come_and_go_are_zero_in_the_average_exactly_while_they_are_gone(data, regrowth, optimizer):
    made: list[Pruner] = []

    def prune(model, optimizer, total_steps, batches):
        made.append(Pruner(model, optimizer, schedule=OneShot(0.7, at=0), regrowth=regrowth, batches=batches))
        return made[0]

    seen: list[dict[str, torch.Tensor]] = []

    def check(event, state):
        if event is not Event.STEP:
            return
        masks = {name: mask.clone() for name, mask in made[0].masks.items()}
        parameters = dict(state.model.named_parameters())
        for name, mask in masks.items():
            average = state.optimizer.state[parameters[name]][AVERAGE]
            assert (average[~mask] == 0).all() and (parameters[name][~mask] == 0).all()
        seen.append(masks)

    model = small_net()
    pruner = train_network(model, data, replace(SETTINGS, optimizer=optimizer), prune=prune, callbacks=[check]).pruner
    assert pruner is not None and pruner.density == pytest.approx(0.3, abs=0.01)
    grown = {name: mask & ~seen[0][name] for name, mask in pruner.masks.items()}
    assert sum(int(mask.sum()) for mask in grown.values()) > 20  # some came that were gone at first
    parameters = dict(model.named_parameters())
    assert any((parameters[name][mask] != 0).any() for name, mask in grown.items())
    assert all((parameters[name][~mask] == 0).all() for name, mask in pruner.masks.items())
