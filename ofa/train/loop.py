"""The training loop, the same for supernets and plain networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import Enum, auto
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ofa.task import Batch, Task, as_batch
from ofa.train.settings import TrainSettings
from ofa.train.state import History, TrainState
from ofa.train.step import Step, StepContext, micro_batches, step_rng, training_mode

_UNREAD_LOSSES = 20  # a device that runs ahead of Python is not waited for at every step


class Event(Enum):
    """When a callback is called: START; UPDATE and STEP of each step, with EPOCH between them if one ends; END."""

    START = auto()  # before the first step of this process; what was resumed is in place
    UPDATE = auto()  # the weights have moved; the step is not counted yet
    EPOCH = auto()  # an epoch has ended; add to its `state.row`
    STEP = auto()  # the step is whole, and so is the row of an epoch that ended with it
    END = auto()  # the last step is done, or a callback or the data raised an error between two steps


# A callback may change the state: what it changes is part of the training from then on. It ends the training with
# `state.stop()`. If it has `state_dict` and `load_state_dict`, checkpoints include it.
Callback: TypeAlias = Callable[[Event, TrainState], None]

# (epoch, first batch) -> the batches of an epoch from that one on (see `ofa.task.as_batch`): functions of their
# arguments.
Batches: TypeAlias = Callable[[int, int], Iterator[Any]]


def run(
    step: Step, batches: Batches, state: TrainState, settings: TrainSettings, callbacks: Sequence[Callback] = ()
) -> History:
    """Returns one row per epoch, after training from `state.step` on; `state` is as after the last step.

    Batches, augmentation, Archs and dropout are functions of (seed, step), so a training that is resumed ends with
    the same bits. The global random state and the model's mode are left as they were. If a callback or the data
    raises an error and the step is whole, all callbacks get `Event.END` first, so that a checkpoint loses nothing.

    Args:
        step: runs forward and backward of a batch.
        batches: the batches of each epoch.
        state: see `new_state`; a checkpoint may have been loaded into it.
        settings: those that `state` was made with.
        callbacks: called in this order with every event.

    Raises:
        InvalidInput: a loss that is not finite, by step.
    """
    # Those of the optimizer, since a pruner may freeze some of them for a while.
    moved = {id(parameter) for group in state.optimizer.param_groups for parameter in group["params"]}
    parameters = [parameter for parameter in state.model.parameters() if id(parameter) in moved]
    last = state.total_steps if settings.stop_step is None else min(settings.stop_step, state.total_steps)
    step_is_whole = True

    def call(event: Event) -> None:
        for callback in callbacks:
            callback(event, state)

    with ExitStack() as stack:
        reseed = stack.enter_context(training_mode(state.model, settings.seed, state.device))
        clear_gradients = stack.enter_context(_gradients(state, parameters))
        try:
            call(Event.START)
            if state.ends_row and state.progress.epoch_losses:  # an error came before the row was whole
                state.set_learning_rates(settings.schedule(state.progress.place - 1, state.total_steps))
                _finish_epoch(state, call)
            while state.step < last and not (state.stopping or state.is_out_of_time):
                for batch in batches(*divmod(state.step, state.steps_per_epoch)):
                    step_is_whole = False
                    state.set_learning_rates(settings.schedule(state.place, state.total_steps))
                    clear_gradients()
                    _learn(step, as_batch(batch), state, settings, reseed)
                    state.precision.update(state.optimizer, parameters, settings.gradient_clip)
                    call(Event.UPDATE)
                    if state.average is not None:
                        state.average.update(state.step - settings.start_step)
                    state.finish_step()
                    if state.ends_row:
                        state.read_losses()
                    step_is_whole = True
                    if state.ends_row:
                        _finish_epoch(state, call)
                    call(Event.STEP)
                    if state.step >= last or state.stopping or state.is_out_of_time:
                        break
        except Exception:
            if step_is_whole:
                call(Event.END)
            raise
        state.read_losses()
        call(Event.END)
    return state.history


def _learn(
    step: Step, batch: Batch, state: TrainState, settings: TrainSettings, reseed: Callable[[int, int], None]
) -> None:
    """Leaves the gradient of a batch in the parameters and its loss in the state; one pass per micro-batch."""
    state.batch = batch
    parts = micro_batches(batch, settings.accumulation)
    shares = _shares(parts, batch, state.task)
    parts = [part for part, share in zip(parts, shares, strict=True) if share]  # others are padding alone
    shares = [share for share in shares if share]
    losses = []
    for number, (part, share) in enumerate(zip(parts, shares, strict=True)):
        reseed(state.step, number)
        context = StepContext(
            step=state.step,
            total_steps=state.total_steps,
            place=state.place,
            before=state.progress.place,
            rng=step_rng(settings.seed, state.step),
            optimizer=state.optimizer,
            task=state.task,
            autocast=state.precision.autocast,
            backward=state.precision.backward if share == 1 else partial(_backward_share, state, share),
            micro_batch=number,
            seed=settings.seed,
        )
        losses.append(step(part, context))
    loss = losses[0] if len(losses) == 1 else torch.stack(losses) @ torch.tensor(shares).to(losses[0])
    state.pending_losses[state.step] = loss
    if state.device.type == "cpu" or len(state.pending_losses) == _UNREAD_LOSSES:
        state.read_losses()  # before the weights move


def _shares(parts: Sequence[Batch], batch: Batch, task: Task) -> list[float]:
    """The fraction that each part is of the terms that the batch's loss is the mean of."""
    if task.terms is None or len(parts) == 1:
        return [part.examples / batch.examples for part in parts]
    counts = [float(task.terms(part)) for part in parts]
    return [count / sum(counts) for count in counts] if sum(counts) else [1.0, *[0.0] * (len(parts) - 1)]


def _backward_share(state: TrainState, share: float, loss: Tensor) -> None:
    state.precision.backward(loss * share)


def _finish_epoch(state: TrainState, call: Callable[[Event], None]) -> None:
    """Adds the row of the epoch to the history, once callbacks have added to it."""
    state.row = state.current_row()
    call(Event.EPOCH)
    state.history.append(state.row)
    state.row = {}
    state.progress.epoch_losses.clear()


@contextmanager
def _gradients(state: TrainState, parameters: Sequence[nn.Parameter]) -> Iterator[Callable[[], None]]:
    """Yields what clears the gradients before a step; afterwards there are none."""
    if state.held_gradients:
        gradients = [torch.zeros_like(parameter) for parameter in parameters]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
    try:
        yield partial(torch._foreach_zero_, gradients) if state.held_gradients else state.optimizer.zero_grad
    finally:
        for parameter in parameters:
            parameter.grad = None
