"""The training loop of a plain network: of all its weights, or under a pruner; from labels and from a teacher."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from ofa.data import Augment, Dataset
from ofa.errors import InvalidInput
from ofa.evaluate import evaluate
from ofa.modes import in_mode
from ofa.train import saving
from ofa.train.checks import check_settings, loss_not_finite
from ofa.train.digest import digest_of
from ofa.train.feed import Feed, on_device, scoring_batches
from ofa.train.ledger import Ledger
from ofa.train.losses import label_loss, soft_cross_entropy
from ofa.train.network_state import load_network, read_network, save_network
from ofa.train.optimizers import OptimizerBuilder, parameter_groups
from ofa.train.precision import precision_of
from ofa.train.resume import History, Progress
from ofa.train.schedules import Schedule, cosine
from ofa.train.seeding import global_seed_per_step
from ofa.train.settings import as_json

if TYPE_CHECKING:
    from ofa.prune.context import Batches
    from ofa.prune.pruner import Pruner

_PROGRESS_SECONDS = 0.5
_STEPS_UNREAD = 20  # a device that runs ahead of Python is not waited for at every step

# (model, optimizer, steps of the whole training, batches for criteria) -> the pruner of the training.
MakePruner: TypeAlias = Callable[[nn.Module, torch.optim.Optimizer, int, "Batches"], "Pruner"]


@dataclass(frozen=True)
class NetworkTraining:
    """What came out of a training, beside the model that was trained in place.

    Attributes:
        history: one row an epoch (see `History`): epoch, step, loss, learning_rate, seconds; accuracy, in [0, 1],
            on the validation split where it was measured; density, of the weights that may be pruned, under a pruner.
        pruner: as it is after the last step; None where none was asked for.
    """

    history: History
    pruner: Pruner | None


def train_network(
    model: nn.Module,
    data: Dataset,
    *,
    optimizer: OptimizerBuilder,
    epochs: int,
    batch_size: int,
    schedule: Schedule = cosine,
    seed: int = 0,
    augment: Augment | None = None,
    label_smoothing: float = 0.0,
    gradient_clip: float | None = None,
    precision: str = "float32",
    device: torch.device | str = "cpu",
    prune: MakePruner | None = None,
    scoring: int = 10,
    teacher: nn.Module | None = None,
    distill: float = 0.0,
    temperature: float = 1.0,
    checkpoint: Path | str | None = None,
    checkpoint_seconds: float | None = 30.0,
    checkpoint_steps: int | None = None,
    start_step: int = 0,
    stop_step: int | None = None,
    validate_every: int = 5,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> NetworkTraining:
    """Returns the history and the pruner, after training `model` in place.

    `prune` makes the pruner before the first step; its `batches` are `scoring` batches of training images, always
    the same. Its penalty is part of the loss, and its step follows the optimizer's. With a `teacher`, the loss is
    (1 - distill) against labels and `distill` against the teacher's logits at `temperature`; without augmentation
    these are computed once.

    With `checkpoint`, the state is written there every `checkpoint_seconds`, every `checkpoint_steps` and at the
    end. If the file exists, training goes on from it, and ends with the same bits as if it had never stopped: the
    pruner's state is part of it; batches, augmentation and dropout are functions of (seed, step). The global random
    state is left as it was. `stop_step` ends the training after so many steps of the whole one; called again with
    the same checkpoint and without it, it goes on. `start_step` begins at that step of batches and schedule, with a
    new optimizer, as a rewound network wants.

    `validate_every` is in epochs (0: never); the last epoch is measured too. `progress` gets the row so far, with
    epochs and total_steps, about twice a second, and each finished row.

    Raises:
        InvalidInput: a setting out of range, a checkpoint that is damaged or of another training (it is left as it
            is), or a loss that is not finite, by step.
    """
    check_settings(epochs, batch_size, seed, label_smoothing, gradient_clip, validate_every)
    _check_steps(scoring, start_step, stop_step)
    _check_teacher(teacher, distill, temperature)
    place = torch.device(device)
    model = model.to(place)
    if teacher is not None:
        teacher = teacher.to(place)
    number_format = precision_of(precision, place)
    optimiser = optimizer(parameter_groups(model))
    rates = [group["lr"] for group in optimiser.param_groups]
    feed = Feed(on_device(data.train, place), batch_size, seed, place, augment, teacher if distill else None)
    settings = as_json(
        {
            "model": {name: list(parameter.shape) for name, parameter in model.named_parameters()},
            "data": [data.name, len(data.train), data.input_shape, data.num_classes, data.preprocessing],
            **{"optimizer": optimizer, "schedule": schedule, "augment": augment, "prune": prune, "scoring": scoring},
            **{
                "epochs": epochs,
                "batch_size": batch_size,
                "seed": seed,
                "precision": precision,
                "start_step": start_step,
            },
            **{"label_smoothing": label_smoothing, "gradient_clip": gradient_clip},
            "teacher": digest_of(teacher) if teacher is not None and distill else None,
            **{"distill": distill, "temperature": temperature},
        }
    )
    save_due = saving.when(checkpoint_seconds, checkpoint_steps)
    file = None if checkpoint is None else Path(checkpoint)
    held = read_network(file, settings) if file is not None and file.exists() else None
    total = feed.steps_per_epoch * epochs
    last = total if stop_step is None else min(stop_step, total)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    shown = time.monotonic()

    with ExitStack() as stack:
        reseed = stack.enter_context(global_seed_per_step(seed, place))
        stack.enter_context(in_mode(model, training=True))
        stack.callback(optimiser.zero_grad)
        if place.type == "cuda":
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True))
        pruner: Pruner | None = None
        if prune is not None:
            reseed(0)
            pruner = prune(model, optimiser, total, scoring_batches(feed.split, batch_size, scoring, seed))
        done = Progress(step=start_step)
        if file is not None and held is not None:
            done = load_network(file, held, model, optimiser, number_format, pruner)
            held = None
        groups = list(zip(optimiser.param_groups, rates, strict=True))  # those that loading has put there
        ledger = Ledger(done, feed.steps_per_epoch, epochs)
        resumed = done.step

        def read_losses(images: Tensor) -> None:
            if bad := ledger.collect():
                raise InvalidInput(loss_not_finite(model, images, *bad, total, groups[0][0]["lr"]))

        while done.step < last:
            for images, labels, targets in feed.epoch(*divmod(done.step, ledger.steps_per_epoch)):
                step = done.step
                factor = schedule(step, total)
                for group, learning_rate in groups:
                    group["lr"] = learning_rate * factor
                optimiser.zero_grad()
                reseed(step)
                with number_format.autocast():
                    logits = model(images)
                loss = label_loss(logits, labels, label_smoothing)
                if targets is not None:
                    loss = (1 - distill) * loss + distill * soft_cross_entropy(logits, targets, temperature)
                if pruner is not None:
                    loss = loss + pruner.penalty()
                number_format.backward(loss)
                ledger.pending[step] = loss.detach()
                if place.type == "cpu" or len(ledger.pending) == _STEPS_UNREAD:
                    read_losses(images)  # before the weights move
                number_format.update(optimiser, parameters, gradient_clip)
                if pruner is not None:
                    pruner.step()
                ledger.finish_step()

                if ledger.at_epoch_end():
                    read_losses(images)
                    row = ledger.row(groups[0][0]["lr"])
                    if pruner is not None:
                        row["density"] = float(pruner.density)
                    if validate_every and (row["epoch"] % validate_every == 0 or done.step == total):
                        row["accuracy"] = evaluate(model, data.validation.in_order())
                    ledger.finish_epoch(row)
                if progress is not None:
                    now = time.monotonic()
                    if ledger.at_epoch_end() or now - shown >= _PROGRESS_SECONDS:
                        shown = now
                        row = done.history[-1] if ledger.at_epoch_end() else ledger.row(groups[0][0]["lr"])
                        progress(row | {"epochs": epochs, "total_steps": total})
                if file is not None and done.step < last and save_due(done.step):
                    read_losses(images)
                    save_network(file, model, optimiser, number_format, pruner, done, settings)
                if done.step >= last:
                    read_losses(images)
                    break
        if file is not None and done.step > resumed:
            save_network(file, model, optimiser, number_format, pruner, done, settings)
    return NetworkTraining(done.history, pruner)


def _check_steps(scoring: int, start_step: int, stop_step: int | None) -> None:
    if scoring < 1:
        raise InvalidInput(f"{scoring=!r} batches for criteria: at least 1")
    if start_step < 0 or (stop_step is not None and stop_step < 0):
        raise InvalidInput(f"{start_step=!r} and {stop_step=!r} must be 0 or more; stop_step may be null")


def _check_teacher(teacher: nn.Module | None, distill: float, temperature: float) -> None:
    if not 0 <= distill <= 1:
        raise InvalidInput(f"{distill=!r} is a fraction: at least 0 and at most 1")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise InvalidInput(f"{temperature=!r} must be more than 0")
    if distill and teacher is None:
        raise InvalidInput(f"{distill=!r} asks for a teacher: give teacher=, a trained network, or distill=0")
