"""The learning rate that a training finds: from the losses, without a trace in the weights, and the same each time."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ofa import InvalidInput
from ofa.identity import digest_of
from ofa.train import Event, TrainSettings, sandwich, train_network
from ofa.train.rate_test import LEAST, MOST, STEPS, FoundRate, RangeTest, _rising, is_auto, with_rate
from tests.ofa.train.supernet_trainings import SGD, Stop, fit, same, without_time

RATES = tuple(_rising(step, 0) for step in range(STEPS))
FINDS = partial(SGD, lr="auto")


def test_rates_rise_by_the_same_factor_from_the_least_to_the_most():
    assert (RATES[0], RATES[-1]) == pytest.approx((LEAST, MOST))
    factors = [after / before for before, after in pairwise(RATES)]
    assert factors == pytest.approx([factors[0]] * (STEPS - 1)) and factors[0] > 1


@settings(max_examples=30, deadline=None)
@given(st.integers(10, 40), st.floats(0.01, 100))
def test_the_rate_is_about_that_of_the_least_loss_whatever_the_unit(lowest, unit):
    losses = tuple(unit * (1 + abs(step - lowest) / STEPS) for step in range(STEPS))
    test = RangeTest(RATES, losses)
    assert 0.5 * RATES[lowest] < test.rate < RATES[lowest + lowest // 4 + 8]  # smoothed losses are a little later
    assert RangeTest(RATES, tuple(3 * loss for loss in losses)).rate == test.rate


@pytest.mark.parametrize("noise", [0.0, 0.01, -0.01])
def test_where_the_loss_is_flat_the_rate_is_near_the_end_of_it(noise):
    falls, flat, rises = [2.5 - 0.02 * step for step in range(25)], [2.0] * 15, [2.1 + 0.1 * step for step in range(20)]
    flat[1::4] = [2.0 + noise] * 4
    assert RATES[36] < RangeTest(RATES, (*falls, *flat, *rises)).rate < RATES[43]


def test_rates_whose_losses_are_not_finite_are_never_chosen():
    losses = [2.5 - 0.02 * step for step in range(30)] + [float("nan")] * 30
    assert RATES[25] < RangeTest(RATES, tuple(losses)).rate < RATES[30]


def test_no_finite_loss_is_said():
    with pytest.raises(InvalidInput, match=r"lr='auto': no loss is finite"):
        _ = RangeTest(RATES[:1], (float("inf"),)).rate


def test_a_given_rate_stays():
    given_rate = TrainSettings(optimizer=SGD, epochs=1, batch_size=32)
    assert with_rate(given_rate) is given_rate and not is_auto(torch.optim.SGD)
    assert with_rate(TrainSettings(optimizer=FINDS, epochs=1, batch_size=32)).optimizer.keywords["lr"] == 1.0


def test_a_training_begins_as_if_nothing_had_been_tried(make_supernet, data):
    began = []

    def strategy(supernet, batch, context):
        if context.step == 0:
            began.append((digest_of(supernet.model), context.optimizer.param_groups[0]["lr"]))
        return sandwich(supernet, batch, context)

    fit(make_supernet(), data, strategy=strategy, optimizer=FINDS, epochs=1)
    tried, trained = began
    assert tried[0] == trained[0] == digest_of(make_supernet().model)
    assert tried[1] == pytest.approx(LEAST) and trained[1] > 0


def test_a_training_of_few_steps_tries_all_rates(make_supernet, data):
    tried = []

    def strategy(supernet, batch, context):
        tried.append(context.optimizer.param_groups[0]["lr"])
        return sandwich(supernet, batch, context)

    fit(make_supernet(), data, strategy=strategy, optimizer=FINDS, epochs=1)
    assert max(tried) > 0.1


@pytest.mark.parametrize("stop", [0, 4])
def test_a_training_that_was_killed_has_the_same_rate_and_bits(make_supernet, data, tmp_path, stop):
    def kill(event, state):
        if event is Event.UPDATE and state.step == stop:
            raise Stop

    asked = {"optimizer": FINDS, "layer_decay": 0.5, "ema": 0.5}
    saving = {"checkpoint": tmp_path / "training.safetensors", "checkpoint_steps": 2}
    whole, resumed = make_supernet(), make_supernet(9 if stop else 0)
    history = fit(whole, data, **asked)
    with pytest.raises(Stop):
        fit(make_supernet(), data, **asked, **saving, callbacks=[kill])
    assert without_time(fit(resumed, data, **asked, **saving)) == without_time(history)
    assert same(whole.model, resumed.model)


def test_a_rate_that_was_stored_is_not_looked_for_again(make_supernet, data):
    def fail():
        raise AssertionError("looked for again")

    found = FoundRate(fail)
    found.load_state_dict({"rate": 0.25})
    assert found.state_dict() == {"rate": 0.25}
    for wrong in ("a", 0.0, float("inf")):
        with pytest.raises(ValueError, match="is no learning rate"):
            FoundRate(fail).load_state_dict({"rate": wrong})


def test_plain_networks_find_theirs_and_keep_their_norm_statistics(data):
    def fresh():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))

    began = []
    net = fresh()

    def watch(event, state):
        if event.name == "START":
            began.append((digest_of(net), state.learning_rates))

    with torch.random.fork_rng(devices=[]):
        settings = TrainSettings(optimizer=FINDS, epochs=2, batch_size=32, validate_every=0)
        history = train_network(net, data, settings, callbacks=[watch]).history
        assert began[0][0] == digest_of(fresh()) and len(history) == 2
    assert LEAST / 10 < began[0][1][0] < MOST
    with pytest.raises(InvalidInput, match=r"lr='auto' is found without a pruner"):
        train_network(net, data, settings, prune=lambda *_: None)
