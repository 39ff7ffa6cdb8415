"""The contract of the loop: order of events, accumulation, errors that lose nothing, resuming with callbacks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from ofa.errors import InvalidInput
from ofa.identity import digest_of
from ofa.task import classification
from ofa.train import Event, TrainSettings, sandwich, train, train_network
from ofa.train.loop import Callback
from tests.ofa.train.conftest import SmallNet
from tests.ofa.train.loop_settings import EPOCH_STEPS, SETTINGS, STEPS


def small_net(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SmallNet()


def trained(kind: str, make_supernet, data, changed: TrainSettings = SETTINGS, seed: int = 0, **options):
    """Returns the digest and the rows, without times, of a training of a supernet or of a plain network."""
    if kind == "supernet":
        supernet = make_supernet(seed)
        history = train(supernet, data, sandwich, changed, **options)
        model = supernet.model
    else:
        model = small_net(seed)
        history = train_network(model, data, changed, **options).history
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in history]
    return digest_of(model), rows


KINDS = pytest.mark.parametrize("kind", ["supernet", "network"])


@KINDS
def test_events_come_in_order_and_callbacks_in_theirs(kind, make_supernet, data):
    calls: list[tuple[str, Event, int]] = []

    def recorder(name: str) -> Callback:
        return lambda event, state: calls.append((name, event, state.step))

    trained(kind, make_supernet, data, callbacks=[recorder("first"), recorder("second")])
    expected = [(Event.START, 0)]
    for step in range(STEPS):
        expected.append((Event.UPDATE, step))
        if (step + 1) % EPOCH_STEPS == 0:
            expected.append((Event.EPOCH, step + 1))
        expected.append((Event.STEP, step + 1))
    expected.append((Event.END, STEPS))
    assert calls == [(name, event, step) for event, step in expected for name in ("first", "second")]


@KINDS
def test_a_callback_of_ones_own_adds_to_rows_after_validation(kind, make_supernet, data):
    name = "largest" if kind == "supernet" else "network"

    def add_error(event, state):
        if event is Event.EPOCH and "scores" in state.row:
            state.row["error"] = 1 - state.row["scores"][name]["accuracy"]

    _, rows = trained(kind, make_supernet, data, callbacks=[add_error])
    assert [row["epoch"] for row in rows if "error" in row] == [1, 2, 3]  # 1: a third
    assert all(row["error"] == 1 - row["scores"][name]["accuracy"] for row in rows)


def shrink(event: Event, state) -> None:
    """A callback that changes weights: what it does is part of the training."""
    if event is Event.UPDATE:
        with torch.no_grad():
            for parameter in state.model.parameters():
                parameter.mul_(0.999)


class Count:
    """A callback with a state, which changes weights by it."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, event: Event, state) -> None:
        if event is Event.UPDATE:
            self.calls += 1
            with torch.no_grad():
                state.model.head.bias.add_(1e-3 * self.calls)

    def state_dict(self):
        return {"calls": self.calls}

    def load_state_dict(self, state) -> None:
        self.calls = state["calls"]


class Failure(Exception):
    """Raised by a callback."""


def failing_at(event: Event, step: int) -> Callback:
    def fail(at: Event, state) -> None:
        if at is event and state.step == step:
            raise Failure

    return fail


@KINDS
@pytest.mark.parametrize("event", [Event.EPOCH, Event.STEP])
@pytest.mark.parametrize("step", [EPOCH_STEPS, STEPS])
def test_a_raising_callback_loses_no_step(kind, make_supernet, data, tmp_path, event, step):
    settings = replace(SETTINGS, ema=0.5, gradient_clip=1.0)
    path = tmp_path / "training.safetensors"
    steps: list[int] = []

    def count(at: Event, state) -> None:
        if at is Event.UPDATE:
            steps.append(state.step)

    whole = trained(kind, make_supernet, data, settings, callbacks=[shrink, Count()])
    callbacks = [shrink, count, Count(), failing_at(event, step)]
    with pytest.raises(Failure):
        trained(kind, make_supernet, data, settings, checkpoint=path, callbacks=callbacks)
    resumed = trained(kind, make_supernet, data, settings, seed=9, checkpoint=path, callbacks=[shrink, count, Count()])
    assert resumed == whole
    assert steps == list(range(STEPS))  # none twice


@KINDS
def test_a_callback_that_raises_within_a_step_leaves_the_last_checkpoint(kind, make_supernet, data, tmp_path):
    path = tmp_path / "training.safetensors"
    settings = replace(SETTINGS, checkpoint_steps=2)
    whole = trained(kind, make_supernet, data, settings)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with pytest.raises(Failure):
        trained(kind, make_supernet, data, settings, checkpoint=path, callbacks=[failing_at(Event.UPDATE, 5)])
    assert torch.equal(before, torch.get_rng_state())
    first: list[int] = []

    def note(event: Event, state) -> None:
        if event is Event.START:
            first.append(state.step)

    assert trained(kind, make_supernet, data, settings, seed=9, checkpoint=path, callbacks=[note]) == whole
    assert first == [4]


@KINDS
def test_a_callback_that_raises_before_the_first_step_leaves_no_file(kind, make_supernet, data, tmp_path):
    path = tmp_path / "training.safetensors"
    with pytest.raises(Failure):
        trained(kind, make_supernet, data, checkpoint=path, callbacks=[failing_at(Event.START, 0)])
    assert not path.exists()


@KINDS
@pytest.mark.parametrize("step", [2, EPOCH_STEPS, STEPS])
def test_a_callback_can_stop_the_training_which_then_resumes(kind, make_supernet, data, tmp_path, step):
    path = tmp_path / "training.safetensors"

    def stop(event: Event, state) -> None:
        if event is Event.STEP and state.step == step:
            state.stop()

    whole = trained(kind, make_supernet, data)
    _, rows = trained(kind, make_supernet, data, checkpoint=path, callbacks=[stop])
    assert len(rows) == step // EPOCH_STEPS
    assert trained(kind, make_supernet, data, seed=9, checkpoint=path) == whole


@KINDS
def test_a_checkpoint_with_the_state_of_other_callbacks_is_refused(kind, make_supernet, data, tmp_path):
    path = tmp_path / "training.safetensors"
    trained(kind, make_supernet, data, replace(SETTINGS, stop_step=2), checkpoint=path, callbacks=[Count(), Count()])
    content = path.read_bytes()
    with pytest.raises(InvalidInput, match=r"it has the state of .*test_loop.Count#2, this training does not"):
        trained(kind, make_supernet, data, checkpoint=path, callbacks=[Count()])
    assert path.read_bytes() == content
    trained(kind, make_supernet, data, checkpoint=path, callbacks=[Count(), Count()])


@KINDS
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stops=st.lists(st.integers(0, STEPS), min_size=1, max_size=3),
    changes=st.fixed_dictionaries(
        {
            "accumulation": st.sampled_from([1, 2, 5]),
            "ema": st.sampled_from([None, 0.5, 0.99]),
            "gradient_clip": st.sampled_from([None, 1.0]),
            "precision": st.sampled_from(["float32", "bfloat16", "float16"]),
            "optimizer": st.sampled_from([SETTINGS.optimizer, partial(torch.optim.Adam, lr=0.01)]),
            "task": st.sampled_from([None, classification(num_classes=4, label_smoothing=0.1)]),
        }
    ),
)
def test_whatever_the_settings_and_stops_the_bits_are_the_same(kind, make_supernet, data, stops, changes):
    task = changes.pop("task")
    changed = replace(SETTINGS, **changes)
    whole = trained(kind, make_supernet, data, changed, task=task, callbacks=[Count()])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "training.safetensors"
        for stop in sorted(stops):
            part, seed = replace(changed, stop_step=stop), 9 if path.exists() else 0
            trained(kind, make_supernet, data, part, seed=seed, task=task, checkpoint=path, callbacks=[Count()])
            assert path.exists() or stop == 0
        seed = 9 if path.exists() else 0
        again = trained(kind, make_supernet, data, changed, seed=seed, task=task, checkpoint=path, callbacks=[Count()])
        assert again == whole
