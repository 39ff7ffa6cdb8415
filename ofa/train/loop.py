"""The training loop: every strategy, optimizer and schedule runs in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ofa.arch import Arch
from ofa.data import Augment, Dataset, batches, steps_per_epoch
from ofa.errors import InvalidInput
from ofa.modes import in_mode
from ofa.train import saving
from ofa.train.checks import check_settings, loss_not_finite
from ofa.train.context import StepContext, Strategy
from ofa.train.ledger import Ledger
from ofa.train.optimizers import OptimizerBuilder, parameter_groups
from ofa.train.precision import precision_of
from ofa.train.resume import History, Progress, load_training, save_training
from ofa.train.schedules import Schedule, cosine
from ofa.train.seeding import global_seed_per_step, step_rng
from ofa.train.settings import as_json
from ofa.train.validation import accuracies

if TYPE_CHECKING:
    from ofa.supernet import Supernet

_PROGRESS_SECONDS = 0.5
_STEPS_UNREAD = 20  # a device that runs ahead of Python is not waited for at every step


def train(
    supernet: Supernet,
    data: Dataset,
    *,
    strategy: Strategy,
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
    checkpoint: Path | str | None = None,
    checkpoint_seconds: float | None = 30.0,
    checkpoint_steps: int | None = None,
    stop_step: int | None = None,
    validate_every: int = 5,
    validate: Mapping[str, Arch] | None = None,
    calibration_images: int = 1024,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> History:
    """Returns one row an epoch (see `History`), after training `supernet.model` in place.

    With `checkpoint`, the state is written there every `checkpoint_seconds`, every `checkpoint_steps` and at
    the end. If the file exists, training goes on from it, and ends with the same bits as if it had never
    stopped: batches, augmentation, Archs and dropout are functions of (seed, step). The global random state
    is left as it was. `stop_step` ends it after so many steps of the whole training, as a supernet to rewind to
    wants.

    `validate` names Archs whose accuracy on the validation split is measured every `validate_every` epochs
    and after the last (largest and smallest if not given; `validate_every=0`: never). `progress` gets the row
    so far, with epochs and total_steps, about twice a second, and each finished row. The norm statistics of
    the supernet stay untouched: `calibrate` each subnet.

    Raises:
        InvalidInput: a setting out of range, a checkpoint that is damaged or of another training (it is left
            as it is), or a loss that is not finite, by step.
    """
    check_settings(epochs, batch_size, seed, label_smoothing, gradient_clip, validate_every)
    if stop_step is not None and stop_step < 0:
        raise InvalidInput(f"{stop_step=!r} must be 0 or more, or null")
    place = torch.device(device)
    model, data = supernet.model.to(place), data.to(place)
    number_format = precision_of(precision, place)
    optimiser = optimizer(parameter_groups(model))
    rates = [group["lr"] for group in optimiser.param_groups]
    settings = as_json(
        {
            "model": {name: list(parameter.shape) for name, parameter in model.named_parameters()},
            "space": supernet.space.digest,
            "data": [data.name, len(data.train), data.input_shape, data.num_classes, data.preprocessing],
            **{"strategy": strategy, "optimizer": optimizer, "schedule": schedule, "augment": augment},
            **{"epochs": epochs, "batch_size": batch_size, "seed": seed, "precision": precision},
            **{"label_smoothing": label_smoothing, "gradient_clip": gradient_clip},
        }
    )
    save_due = saving.when(checkpoint_seconds, checkpoint_steps)
    file = None if checkpoint is None else Path(checkpoint)
    done = Progress()
    if file is not None and file.exists():
        done = load_training(file, model, optimiser, number_format, settings)
    groups = list(zip(optimiser.param_groups, rates, strict=True))  # those that loading has put there
    ledger = Ledger(done, steps_per_epoch(data.train, batch_size), epochs)
    total = ledger.total_steps
    last = total if stop_step is None else min(stop_step, total)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    shown = time.monotonic()

    def read_losses(images: Tensor) -> None:
        if bad := ledger.collect():
            net = supernet.subnet(supernet.space.largest)
            raise InvalidInput(loss_not_finite(net, images, *bad, total, groups[0][0]["lr"]))

    with ExitStack() as stack:
        reseed = stack.enter_context(global_seed_per_step(seed, place))
        stack.enter_context(in_mode(model, training=True))
        gradients = stack.enter_context(_gradients(parameters))
        if place.type == "cuda":
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True))
        while done.step < last:
            epoch, start = divmod(done.step, ledger.steps_per_epoch)
            for images, labels in batches(
                data.train, batch_size, seed=seed, epoch=epoch, start=start, device=place, augment=augment
            ):
                step = done.step
                factor = schedule(step, total)
                for group, learning_rate in groups:
                    group["lr"] = learning_rate * factor
                torch._foreach_zero_(gradients)
                reseed(step)
                context = StepContext(
                    step=step,
                    total_steps=total,
                    rng=step_rng(seed, step),
                    optimizer=optimiser,
                    label_smoothing=label_smoothing,
                    autocast=number_format.autocast,
                    backward=number_format.backward,
                )
                ledger.pending[step] = strategy(supernet, images, labels, context)
                if place.type == "cpu" or len(ledger.pending) == _STEPS_UNREAD:
                    read_losses(images)  # before the weights move
                number_format.update(optimiser, parameters, gradient_clip)
                ledger.finish_step()

                if ledger.at_epoch_end():
                    read_losses(images)
                    row = ledger.row(groups[0][0]["lr"])
                    if validate_every and (row["epoch"] % validate_every == 0 or done.step == total):
                        row |= accuracies(supernet, data, validate, calibration_images)
                    ledger.finish_epoch(row)
                if progress is not None:
                    now = time.monotonic()
                    if ledger.at_epoch_end() or now - shown >= _PROGRESS_SECONDS:
                        shown = now
                        row = done.history[-1] if ledger.at_epoch_end() else ledger.row(groups[0][0]["lr"])
                        progress(row | {"epochs": epochs, "total_steps": total})
                if file is not None and (save_due(done.step) or done.step == last):
                    read_losses(images)
                    save_training(file, model, optimiser, number_format, done, settings)
                if done.step >= last:
                    read_losses(images)
                    break
    return done.history


@contextmanager
def _gradients(parameters: list[nn.Parameter]) -> Iterator[list[Tensor]]:
    """Gives each parameter a `.grad` of zeros, for views to accumulate into; afterwards there are none."""
    gradients = [torch.zeros_like(parameter) for parameter in parameters]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    try:
        yield gradients
    finally:
        for parameter in parameters:
            parameter.grad = None
