"""The training loop, the same for supernets and plain networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from enum import Enum, auto
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.processes import ALONE, Processes, processes
from ofa.task.failed_batch import forms, named_batch
from ofa.train.memory_format import batch_channels_last
from ofa.train.settings import TrainSettings
from ofa.train.shared_gradients import gradients_of
from ofa.train.state import History, TrainState
from ofa.train.step import Step, StepContext, step_rng, training_mode
from ofa.train.synchronized_norms import synchronized_norms
from ofa.train.together import Feed, Parts, check_shared, mean_over

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

    Where a process group is initialized, all its processes take each step together (see `ofa.train.together`).

    Args:
        step: runs forward and backward of a batch.
        batches: the batches of each epoch; of several processes, each one's own rows of them.
        state: see `new_state`; a checkpoint may have been loaded into it.
        settings: those that `state` was made with.
        callbacks: called in this order with every event.

    Raises:
        InvalidInput: a loss that is not finite, by step; too many processes for a batch, or one at another step.
    """
    group = processes()
    check_shared(settings, group)
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
        gradients = stack.enter_context(gradients_of(state, parameters, group))
        feed = Feed(group, settings, state.task)
        _check_same_step(state, group)
        try:
            call(Event.START)
            if state.ends_row and state.progress.epoch_losses:  # an error came before the row was whole
                state.set_learning_rates(settings.schedule(state.progress.schedule_step - 1, state.total_steps))
                _finish_epoch(state, call)
            while state.step < last and not (_ends(state, feed) or state.is_out_of_time):
                for parts in feed.of(batches(*divmod(state.step, state.steps_per_epoch)), state):
                    step_is_whole = False
                    state.set_learning_rates(settings.schedule(state.schedule_step, state.total_steps))
                    gradients.clear()
                    with synchronized_norms(group) if settings.synchronize_norms else nullcontext():
                        loss = _learn(step, parts, state, settings, reseed)
                    state.pending_losses[state.step] = gradients.add_up(loss)
                    if state.device.type == "cpu" or len(state.pending_losses) == _UNREAD_LOSSES:
                        state.read_losses()  # before the weights move
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
                    if state.step >= last or _ends(state, feed) or state.is_out_of_time:
                        break
        except Exception:
            if step_is_whole:
                call(Event.END)
            raise
        state.read_losses()
        call(Event.END)
    return state.history


def _ends(state: TrainState, feed: Feed) -> bool:
    """Whether the training is to end, of several processes once all know it."""
    return state.stopping if feed.group.alone else feed.stopped


def _check_same_step(state: TrainState, group: Processes) -> None:
    """Checks that all processes go on from the same step."""
    steps = group.gathered(state.step)
    if len(set(steps)) > 1:
        raise InvalidInput(
            f"the processes resume from different steps ({', '.join(map(str, steps))}): the folder of the checkpoint "
            "must be the same for all of them, such as one that their machines share"
        )


def _learn(
    step: Step, given: Parts, state: TrainState, settings: TrainSettings, reseed: Callable[[int, int], None]
) -> Tensor:
    """Leaves the gradient of a batch in the parameters and returns its loss; one pass per micro-batch.

    Of several processes it is this one's share of both.
    """
    group = processes()
    earlier, state.batch = state.batch, given.batch
    different = settings.archs_per_rank == "different"
    losses = []
    for number, (part, share) in enumerate(zip(given.parts, given.shares, strict=True)):
        reseed(state.step, number)
        context = StepContext(
            step=state.step,
            total_steps=state.total_steps,
            schedule_step=state.schedule_step,
            before=state.progress.schedule_step,
            rng=step_rng(settings.seed, state.step, group.rank if different else 0),
            optimizer=state.optimizer,
            task=state.task,
            autocast=state.precision.autocast,
            backward=state.precision.backward if share == 1 else partial(_backward_share, state, share),
            micro_batch=number,
            seed=settings.seed,
            group=group,
            drawing=group if different else ALONE,
            mean=mean_over(group, share),
        )
        epoch, batch = divmod(state.step, state.steps_per_epoch)
        before = partial(forms, earlier) if earlier is not None else lambda: None
        with named_batch(given.batch, before, f"batch {batch + 1} of epoch {epoch + 1}"):
            losses.append(step(batch_channels_last(part) if settings.channels_last else part, context))
    if group.alone and len(losses) == 1:
        return losses[0]
    shares = torch.tensor(given.shares, dtype=losses[0].dtype, device=losses[0].device)
    return torch.where(shares > 0, torch.stack(losses), 0) @ shares


def _backward_share(state: TrainState, share: float, loss: Tensor) -> None:
    # A part of padding alone has no terms that its loss is the mean of; others may wait for what it exchanges.
    state.precision.backward(loss * share if share else torch.nan_to_num(loss) * 0)


def _finish_epoch(state: TrainState, call: Callable[[Event], None]) -> None:
    """Adds the row of the epoch to the history, once callbacks have added to it."""
    state.row = state.current_row()
    call(Event.EPOCH)
    state.history.append(state.row)
    state.row = {}
    state.progress.epoch_losses.clear()
