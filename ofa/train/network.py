"""Training of a plain network: of all its weights, or under a pruner; from labels and from a teacher."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.identity import digest_of
from ofa.plain_network import check_not_distributed
from ofa.processes import processes
from ofa.task import Batch, Task, as_batch, classification
from ofa.train.callbacks import NETWORK, Pruning, network_scores, validation
from ofa.train.checkpoints import Checkpoint, run_from_checkpoint
from ofa.train.compiled import Compiled
from ofa.train.distilling import distill_loss, with_temperature
from ofa.train.early_stop import EarlyStop
from ofa.train.first_batch import check_first_batch
from ofa.train.layer_rates import layer_rates
from ofa.train.loop import Callback
from ofa.train.rate_test import found_rate, is_auto, with_rate
from ofa.train.recomputing import recomputed
from ofa.train.saved_state import training_record
from ofa.train.settings import TrainSettings, check_device
from ofa.train.state import History, new_state
from ofa.train.step import StepContext, training_mode
from ofa.train.teacher_batches import TeacherBatches, on_device, scoring_batches
from ofa.train.teachers import Teacher, as_teacher
from ofa.train.together import check_alike

if TYPE_CHECKING:
    from ofa.prune.context import Batches
    from ofa.prune.pruner import Pruner

# (model, optimizer, steps of the whole training, batches for criteria) -> the pruner of the training.
MakePruner: TypeAlias = Callable[[nn.Module, torch.optim.Optimizer, int, "Batches"], "Pruner"]


@dataclass(frozen=True)
class Distillation:
    """What a network learns from besides targets.

    Attributes:
        teacher: a trained network; its outputs are computed once where images are not augmented, see `Teacher`.
        weight: fraction of the loss that is against the teacher's outputs; the rest is against targets.
        temperature: of both softmaxes, where the task has any; None for the task's own. Source: Hinton et al. 2015,
            1503.02531.

    Raises:
        InvalidInput: a weight or a temperature out of range.
    """

    teacher: nn.Module | Teacher
    weight: float
    temperature: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise InvalidInput(f"distill={self.weight!r} is a fraction: at least 0 and at most 1")
        if self.temperature is not None and not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise InvalidInput(f"temperature={self.temperature!r} must be more than 0")


@dataclass(frozen=True)
class NetworkTraining:
    """The outcome of a training, besides the model that was trained in place.

    Attributes:
        history: one row per epoch (see `History`): epoch, step, loss, learning_rate, seconds; scores, the metrics of
            "network" on the validation split, where they were measured; density, of the weights that may be pruned,
            under a pruner.
        pruner: as it is after the last step; None without `prune`.
    """

    history: History
    pruner: Pruner | None


def train_network(
    model: nn.Module,
    data: Dataset,
    settings: TrainSettings,
    *,
    task: Task | None = None,
    prune: MakePruner | None = None,
    distillation: Distillation | None = None,
    checkpoint: Path | str | None = None,
    callbacks: Sequence[Callback] = (),
) -> NetworkTraining:
    """Returns the history and the pruner, after training `model` in place.

    Where `torch.distributed` is initialized, all processes of the group train together, as in `ofa.train.train`; the
    norm statistics of the network are the means of theirs.

    Args:
        task: the losses, the metrics and the check of outputs; `ofa.task.classification` of the data if None.
        prune: makes the pruner before the first step. Its penalty is part of the loss, and its step follows the
            optimizer's.
        distillation: a teacher to learn from; None: targets alone.
        checkpoint: a file that is written as `settings` say and at the end. If it exists, training resumes from it,
            the pruner included, and ends with the same bits as if it had never stopped.
        callbacks: yours, called in this order after pruning and validation and before the checkpoint is written. For
            instance `progress_rows(print)`; see `ofa.train.callbacks` for how to write one.

    Raises:
        InvalidInput: a checkpoint that is damaged or of another training (it is left as it is), outputs or targets
            of the first batch that do not fit the task, a model in DistributedDataParallel, or a loss that is not
            finite, by step.
    """
    check_not_distributed(model, "train_network")
    if prune is not None and settings.minutes is not None:
        raise InvalidInput(
            f"minutes={settings.minutes:g} may end a training before its pruner has removed all that it should, since "
            "that counts steps; set epochs instead"
        )
    if settings.patience is not None and prune is not None:
        raise InvalidInput(
            f"patience={settings.patience}: the best weights of a network that is being pruned are not its last, "
            "sparse ones; leave patience out"
        )
    if prune is not None and is_auto(settings.optimizer):
        raise InvalidInput("lr='auto' is found without a pruner; give the optimizer a number under one")
    task = classification(data) if task is None else task
    learned = task if distillation is None else with_temperature(task, distillation.temperature)
    check_device(settings.device)
    device = torch.device(settings.device)
    teacher = as_teacher(distillation.teacher, model, device) if distillation and distillation.weight else None
    split = on_device(data.train, device)
    group = processes()
    feed = TeacherBatches(split, settings.batch_size, settings.seed, device, task, settings.augment, teacher, group)
    decay = settings.layer_decay
    rates = None if decay is None else layer_rates(model, lambda net: task.call(net, _first(feed, net)), decay)
    stop = None if settings.patience is None else EarlyStop(task.objective, settings.patience)
    made_state = partial(
        new_state,
        model,
        steps_per_epoch=feed.steps_per_epoch,
        whole_network=lambda: model,
        task=learned,
        held_gradients=False,
        average_buffers=True,
        rates=rates,
    )
    state = made_state(with_rate(settings))
    deciding = {
        **{"prune": prune, "teacher": None if teacher is None else digest_of(teacher.network)},
        "distill": 0.0 if distillation is None else distillation.weight,
        "temperature": None if distillation is None else distillation.temperature,
    }
    record = training_record(model, data, task, settings, deciding)
    check_alike(record, group)
    file = None if checkpoint is None else Checkpoint(Path(checkpoint), record, settings)
    group.each(lambda: check_first_batch(learned, model, replace(feed, teacher=None).epoch(0), device, teacher))
    pruner = None
    if prune is not None:
        scored = scoring_batches(split, settings.batch_size, settings.scoring, settings.seed)
        with training_mode(model, settings.seed, device) as reseed:
            reseed(0, 0)
            pruner = prune(model, state.optimizer, state.total_steps, scored)

    def measure() -> dict[str, dict[str, float]]:
        return group.from_first(lambda: {NETWORK: network_scores(model, data, task)})

    learner = Compiled(model) if settings.compile else model
    step = partial(_learn, model=learner, pruner=pruner, distillation=distillation)
    pruning = [] if pruner is None else [Pruning(pruner)]
    rate_test = found_rate(step, feed.epoch, made_state, settings)
    callbacks = [
        *rate_test,
        *pruning,
        validation(measure, settings),
        *([] if stop is None else [stop]),
        *callbacks,
    ]
    with recomputed(model) if settings.checkpoint_gradients else nullcontext():
        history = run_from_checkpoint(step, feed.epoch, state, settings, callbacks, file)
    if stop is not None:
        stop.restore(model)
    return NetworkTraining(history, pruner)


def _first(feed: TeacherBatches, model: nn.Module) -> Batch:
    """The first batch, on the device that the model is on before the training."""
    return as_batch(next(replace(feed, teacher=None).epoch(0))).to(next(model.parameters()).device)


def _learn(
    batch: Batch, context: StepContext, *, model: nn.Module, pruner: Pruner | None, distillation: Distillation | None
) -> Tensor:
    """Returns the loss of a batch after its backward pass: against targets, a teacher, and the pruner's penalty."""
    with context.autocast():
        outputs = context.task.call(model, batch)
    loss = context.task.loss(outputs, batch)
    if distillation is not None and batch.teacher is not None:
        soft = distill_loss(context.task, outputs, batch.teacher, batch)
        loss = (1 - distillation.weight) * loss + distillation.weight * soft
    if pruner is not None:
        loss = loss + pruner.penalty()
    context.backward(loss)
    return loss.detach()
