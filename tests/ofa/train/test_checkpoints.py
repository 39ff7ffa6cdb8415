"""Checkpoints in the background: seldom enough, whole, of the step that they were begun at; no error is lost."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

import pytest
import torch

from ofa.checkpoint import load_checkpoint, load_weights
from ofa.data import batches, steps_per_epoch
from ofa.identity import digest_of
from ofa.task import classification
from ofa.train import Event, label_loss
from ofa.train.checkpoints import Checkpoint, run_from_checkpoint
from ofa.train.state import new_state
from tests.executors import AtOnce
from tests.ofa.train.conftest import SmallNet
from tests.ofa.train.loop_settings import SETTINGS


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Later(Executor):
    """Runs what it is given once it is told to, as a slow thread does."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Any, Any]] = []

    def submit(self, work: Any, /, *arguments: Any, **names: Any) -> Future[Any]:
        self.waiting.append((WaitingFuture(self), work, arguments))
        return self.waiting[-1][0]

    def run(self) -> None:
        waiting, self.waiting = self.waiting, []
        for future, work, arguments in waiting:
            try:
                future.set_result(work(*arguments))
            except OSError as error:
                future.set_exception(error)


class WaitingFuture(Future[Any]):
    """Of `Later`, which runs it when it is waited for."""

    def __init__(self, executor: Later) -> None:
        super().__init__()
        self._executor = executor

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            self._executor.run()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if not self.done():
            self._executor.run()
        return super().exception(timeout)


def fit(data, checkpoint, callbacks=(), settings=SETTINGS, seed=0):
    """Trains a small network with a checkpoint; returns its digest."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SmallNet()
    count = steps_per_epoch(data.train, settings.batch_size)
    state = new_state(
        model, settings, count, lambda: model, task=classification(data), held_gradients=False, average_buffers=True
    )

    def step(batch, context):
        images, labels = batch[0], batch[1]
        loss = label_loss(model(images), labels)
        context.backward(loss)
        return loss.detach()

    def epoch_batches(epoch, start):
        return batches(data.train, settings.batch_size, seed=0, epoch=epoch, start=start)

    run_from_checkpoint(step, epoch_batches, state, settings, callbacks, checkpoint)
    return digest_of(model)


def ticking(clock: Clock, seconds: float):
    """A callback: each step takes so long."""

    def tick(event, state):
        if event is Event.UPDATE:
            clock.now += seconds

    return tick


LONG = replace(SETTINGS, epochs=14)  # 42 steps


def test_a_slow_writer_is_called_seldom(data, tmp_path, monkeypatch):
    """Of the fault that was: a save takes longer than the interval, and nearly every step was followed by one."""
    clock, saves = Clock(), []

    def slow(path, tensors, values):
        saves.append(values["progress"]["step"])
        clock.now += 2.0

    monkeypatch.setattr("ofa.train.checkpoints.save_training", slow)
    settings = replace(LONG, checkpoint_seconds=1.0)
    checkpoint = Checkpoint(tmp_path / "training", {}, settings, writer=AtOnce(), clock=clock)
    fit(data, checkpoint, [ticking(clock, 2.0)], settings)
    # Each step takes two seconds and so does a save: after the first, nineteen times that passes between two.
    assert saves == [1, 20, 39, 42]


def test_a_quick_writer_is_called_at_the_interval(data, tmp_path, monkeypatch):
    clock, saves = Clock(), []
    monkeypatch.setattr(
        "ofa.train.checkpoints.save_training", lambda path, tensors, values: saves.append(values["progress"]["step"])
    )
    settings = replace(LONG, checkpoint_seconds=10.0)
    checkpoint = Checkpoint(tmp_path / "training", {}, settings, writer=AtOnce(), clock=clock)
    fit(data, checkpoint, [ticking(clock, 1.0)], settings)
    assert saves == [10, 20, 30, 40, 42]


def test_what_is_written_later_is_of_the_step_at_which_it_began(data, tmp_path):
    path, later = tmp_path / "training.safetensors", Later()
    settings = replace(SETTINGS, ema=0.5, checkpoint_steps=4)
    seen = {}

    def watch(event, state):
        if event is Event.STEP and state.step == 4:
            seen[4] = digest_of(state.model)
        if event is Event.STEP and state.step == 7:
            later.run()
            tensors, values = load_checkpoint(path)
            assert values["progress"]["step"] == 4
            model = SmallNet()
            load_weights(model, {k.removeprefix("model/"): v for k, v in tensors.items() if k.startswith("model/")})
            assert digest_of(model) == seen[4] != digest_of(state.model)
            seen[7] = True

    whole = fit(data, None, settings=settings)
    checkpoint = Checkpoint(path, {}, settings, writer=later)
    assert fit(data, checkpoint, [watch], settings) == whole  # and nothing is disturbed
    assert seen[7]
    assert load_checkpoint(path)[1]["progress"]["step"] == 9  # END has waited
    path.unlink()
    for stop in (3, 5, 9):  # in three processes
        part = replace(settings, stop_step=stop)
        resumed = fit(data, Checkpoint(path, {}, part), settings=part, seed=0 if stop == 3 else 9)
    assert resumed == whole


def test_no_second_one_begins_while_one_is_written(data, tmp_path, monkeypatch):
    later, begun = Later(), []
    monkeypatch.setattr(
        "ofa.train.checkpoints.save_training", lambda path, tensors, values: begun.append(values["progress"]["step"])
    )
    settings = replace(SETTINGS, checkpoint_seconds=0.0)
    fit(data, Checkpoint(tmp_path / "training", {}, settings, writer=later), settings=settings)
    assert begun == [1, 9]


def failing(errors: list[OSError], written: list[int]):
    """A writer that fails with each error in turn, then writes."""

    def write(path, tensors, values):
        if errors:
            raise errors.pop(0)
        written.append(values["progress"]["step"])

    return write


def test_an_error_of_the_thread_is_raised_after_the_next_step(data, tmp_path, monkeypatch):
    written: list[int] = []
    full = [OSError(28, "No space left on device") for _ in range(2)]
    monkeypatch.setattr("ofa.train.checkpoints.save_training", failing(full, written))
    settings = replace(SETTINGS, checkpoint_steps=4)
    steps = []

    def count(event, state):
        if event is Event.STEP:
            steps.append(state.step)

    with pytest.raises(OSError, match="No space left"):
        fit(data, Checkpoint(tmp_path / "training", {}, settings, writer=AtOnce()), [count], settings)
    assert steps == [1, 2, 3, 4, 5] and not written


def test_an_error_of_the_last_one_is_forgotten_if_writing_at_the_end_succeeds(data, tmp_path, monkeypatch):
    written: list[int] = []
    monkeypatch.setattr("ofa.train.checkpoints.save_training", failing([OSError(5, "once")], written))
    settings = replace(SETTINGS, checkpoint_steps=9)
    fit(data, Checkpoint(tmp_path / "training", {}, settings, writer=AtOnce()), settings=settings)
    assert written == [9]


def test_an_error_at_the_end_is_raised(data, tmp_path, monkeypatch):
    monkeypatch.setattr("ofa.train.checkpoints.save_training", failing([OSError(5, "bad")], []))
    settings = replace(SETTINGS, checkpoint_seconds=None)
    with pytest.raises(OSError, match="bad"):
        fit(data, Checkpoint(tmp_path / "training", {}, settings), settings=settings)


def test_a_step_that_fails_leaves_no_half_written_file(data, tmp_path, monkeypatch):
    """The thread is waited for, whatever ends the training."""
    path, later = tmp_path / "training.safetensors", Later()
    settings = replace(SETTINGS, checkpoint_steps=4)

    def interrupt(event, state):
        if event is Event.UPDATE and state.step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(data, Checkpoint(path, {}, settings, writer=later), [interrupt], settings)
    assert load_checkpoint(path)[1]["progress"]["step"] == 4
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
