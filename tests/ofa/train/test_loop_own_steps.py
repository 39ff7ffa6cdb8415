"""Steps of the loop: parts of a batch add up, steps of one's own may be run, and infinite losses never count."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from ofa.data import batches
from ofa.errors import InvalidInput
from ofa.task import classification
from ofa.train import Event, constant, run, sandwich, train, train_network
from ofa.train.loop import Callback
from ofa.train.state import new_state
from tests.ofa.train.loop_settings import EPOCH_STEPS, SETTINGS, STEPS


class Perceptron(nn.Module):
    """No norm and no dropout: a mean over images is all that joins them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4 * 36, 4)

    def forward(self, images):
        return self.head(functional.relu(self.conv(images)).flatten(1))


def perceptron() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return Perceptron()


@settings(max_examples=12, deadline=None)
@given(parts=st.integers(2, 12), batch_size=st.integers(12, 40), clip=st.sampled_from([None, 0.3]))
def test_accumulated_parts_of_a_batch_are_the_batch(data, parts, batch_size, clip):
    """Uneven parts too: each counts by its images."""
    one, accumulated = perceptron(), perceptron()
    whole = replace(SETTINGS, batch_size=batch_size, gradient_clip=clip, epochs=2, schedule=constant, validate_every=0)
    first = train_network(one, data, whole).history
    second = train_network(accumulated, data, replace(whole, accumulation=parts)).history
    for wanted, got in zip(one.parameters(), accumulated.parameters(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    assert [row["loss"] for row in second] == pytest.approx([row["loss"] for row in first], rel=1e-5)


def test_micro_batches_of_a_supernet_step_train_the_same_archs(make_supernet, data):
    drawn: list[tuple[int, int, float]] = []

    def recording(supernet, batch, context):
        drawn.append((context.step, context.micro_batch, float(context.rng.random())))
        return sandwich(supernet, batch, context)

    train(make_supernet(), data, recording, replace(SETTINGS, accumulation=3, stop_step=2))
    assert [(step, part) for step, part, _ in drawn] == [(step, part) for step in (0, 1) for part in (0, 1, 2)]
    assert [len({number for at, _, number in drawn if at == step}) for step in (0, 1)] == [1, 1]
    assert drawn[0][2] != drawn[3][2]


def run_own_loop(data, read: Callable, stop_step: int | None, checkpoint: Callback):
    """A loop of a user's own step, without the doors."""
    model = perceptron()
    changed = replace(SETTINGS, stop_step=stop_step)
    state = new_state(
        model,
        changed,
        EPOCH_STEPS,
        whole_network=lambda: model,
        task=classification(num_classes=4),
        held_gradients=False,
        average_buffers=True,
    )

    def step(batch, context):
        loss = functional.mse_loss(model(batch[0]), functional.one_hot(batch[1], 4).float())
        context.backward(loss)
        return loss.detach()

    return run(step, read, state, changed, [checkpoint])


def test_run_takes_any_step_and_ends_in_order_when_the_data_fail(data):
    def read(epoch: int, start: int):
        yield from batches(data.train, 32, seed=0, epoch=epoch, start=start)

    def read_and_fail(epoch: int, start: int):
        if epoch == 1:
            raise OSError("disk")
        yield from read(epoch, start)

    events: list[tuple[Event, int]] = []
    rows = run_own_loop(data, read, None, lambda event, state: events.append((event, state.step)))
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert events[-1] == (Event.END, STEPS)
    events.clear()
    with pytest.raises(OSError, match="disk"):
        run_own_loop(data, read_and_fail, None, lambda event, state: events.append((event, state.step)))
    assert events[-2:] == [(Event.STEP, EPOCH_STEPS), (Event.END, EPOCH_STEPS)]


def test_a_loss_that_is_not_finite_is_never_counted():
    model = perceptron()
    state = new_state(
        model,
        SETTINGS,
        EPOCH_STEPS,
        whole_network=lambda: model,
        task=classification(num_classes=4),
        held_gradients=False,
        average_buffers=True,
    )
    state.pending_losses = {0: torch.tensor(1.0), 1: torch.tensor(math.inf)}
    for _ in range(2):  # whoever reads it: a checkpoint must not be written after the loop has failed
        with pytest.raises(InvalidInput, match="inf at step 1"):
            state.read_losses()
    assert state.progress.epoch_losses == []
