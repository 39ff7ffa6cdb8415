"""A training whose time is short ends after a step, its schedule at its end, and says so; steps count otherwise."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from ofa.errors import InvalidInput
from ofa.prune import Cubic, Pruner
from ofa.train import Event, constant, cosine, progressive, train, train_network
from ofa.train.schedules import OFA_PHASES, as_phases, span_at
from tests.ofa.train.loop_settings import SETTINGS
from tests.ofa.train.network_training import Stop, net


class Clock:
    """Seconds that pass only when they are said to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("ofa.train.state.time", SimpleNamespace(monotonic=clock))
    return clock


def taking(clock: Clock, seconds: float):
    """A callback: each step takes so long."""

    def tick(event, state):
        if event is Event.UPDATE:
            clock.now += seconds

    return tick


LONG = replace(SETTINGS, epochs=20, validate_every=1)  # 60 steps


def test_it_ends_after_the_step_in_which_its_time_is_up(data, clock):
    settings = replace(LONG, minutes=1.0)
    training = train_network(net(), data, settings, callbacks=[taking(clock, 8.0)])
    assert [row["step"] for row in training.history] == [3, 6, 8]  # 64 seconds
    assert [row["epoch"] for row in training.history] == [1, 2, 3]
    last = training.history[-1]
    assert last["ended"] == "its 1 minutes were up after step 8 of 60"
    assert "scores" in last and last["loss"] is not None
    assert not any("ended" in row for row in training.history[:-1])


def test_a_training_that_is_done_before_is_as_without_it(data, clock):
    def rows(**changes):
        clock.now = 0.0
        model = net()
        history = train_network(model, data, replace(SETTINGS, **changes), callbacks=[taking(clock, 1.0)]).history
        return model, history

    (one, plain), (other, limited) = rows(), rows(minutes=10.0)
    assert plain == limited
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_the_schedule_is_at_its_end_when_the_time_is(data, clock):
    rates = []

    def watch(event, state):
        if event is Event.UPDATE:
            rates.append(state.optimizer.param_groups[0]["lr"])

    settings = replace(
        LONG, minutes=1.0, schedule=partial(cosine, warmup=0.0), optimizer=partial(torch.optim.SGD, lr=1.0)
    )
    train_network(net(), data, settings, callbacks=[watch, taking(clock, 6.0)])
    assert rates == pytest.approx([cosine(6 * number, 60, warmup=0.0) for number in range(10)])  # ten steps for sixty


def test_it_goes_on_with_the_time_that_is_left(data, clock, tmp_path):
    settings = replace(LONG, minutes=1.0, checkpoint_steps=1, schedule=constant)
    path = tmp_path / "training.safetensors"
    steps = []

    def watch(event, state):
        if event is Event.STEP:
            steps.append(state.step)
            if state.step == 4:
                raise Stop

    for _ in range(3):
        try:
            training = train_network(net(), data, settings, checkpoint=path, callbacks=[taking(clock, 8.0), watch])
        except Stop:
            clock.now += 3600.0  # the hour between two processes does not count
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8]  # and the third process had nothing to do
    assert [row["step"] for row in training.history] == [3, 6, 8]


@pytest.mark.parametrize("seconds", [0.5, 5.0, 13.0])
def test_phases_follow_the_time_and_each_sort_is_done_once(make_supernet, data, clock, monkeypatch, seconds):
    sorts, phases = [], []
    monkeypatch.setattr("ofa.train.strategies.sort_channels_", lambda supernet, optimizer: sorts.append(len(phases)))
    settings = replace(LONG, minutes=1.0, validate_every=0)

    def strategy(supernet, batch, context):
        loss = progressive(supernet, batch, context)
        phases.append(span_at(as_phases(OFA_PHASES), context.schedule_step, context.total_steps).phase)
        return loss

    train(make_supernet(), data, strategy, settings, callbacks=[taking(clock, seconds)])
    seen = list(dict.fromkeys(phases))
    assert seen[-1] == as_phases(OFA_PHASES)[-1]
    assert len(sorts) == sum(phase.sort_channels for phase in seen)
    assert all(phases[step].sort_channels and (step == 0 or phases[step - 1] != phases[step]) for step in sorts)


def test_a_pruner_that_counts_steps_is_refused(data):
    def prune(model, optimizer, total_steps, batches):
        return Pruner(model, optimizer, schedule=Cubic(0.5, begin=0, end=total_steps, every=1))

    with pytest.raises(InvalidInput, match="minutes=2 may end a training before its pruner"):
        train_network(net(), data, replace(SETTINGS, minutes=2.0), prune=prune)


@pytest.mark.parametrize("minutes", [0, -1.0, float("nan"), float("inf")])
def test_out_of_range(minutes):
    with pytest.raises(InvalidInput, match=r"minutes=.* must be more than 0, or null"):
        replace(SETTINGS, minutes=minutes)
