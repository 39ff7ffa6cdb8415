"""The state of a training: what the loop moves, how far it is, and its history."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import as_inputs, output_tensors
from ofa.processes import processes
from ofa.records import Count, NotNegative
from ofa.task import Batch, Task
from ofa.train.average import WeightAverage
from ofa.train.memory_format import channels_last_
from ofa.train.optimizers import build_optimizer
from ofa.train.precision import Precision, precision_of
from ofa.train.settings import TrainSettings

# One row per epoch: epoch, step, loss, learning_rate, seconds, and what callbacks added, such as validation's `scores`:
# {"largest": {"accuracy": 0.93}}, by network and metric. A plain network is called "network" there.
History = list[dict[str, Any]]


@dataclass
class Progress:
    """How far a training is: the next step to do, the next place of its schedule, rows, losses of this epoch, time."""

    step: Count = 0
    schedule_step: Count = 0
    history: History = field(default_factory=list)
    epoch_losses: list[float] = field(default_factory=list)
    seconds: NotNegative = 0.0


@dataclass
class TrainState:
    """Everything that a step changes, as callbacks see it.

    Attributes:
        model: trained in place.
        whole_network: makes the network of all weights, which an error about a loss is traced with.
        optimizer, precision: of the model's weights.
        steps_per_epoch, total_steps: of the whole training, in optimizer steps.
        average: of the weights; None without `TrainSettings.ema`.
        held_gradients: gradients stay allocated, for views of the model to accumulate into.
        learning_rates: of the optimizer's groups where the schedule's factor is 1.
        progress: what a checkpoint has beside the weights.
        task: what is learned.
        batch: the last, which an error about a loss is traced with.
        row: of the epoch that has just ended, which callbacks add to at `Event.EPOCH`; empty at other times.
        stopping: the training ends after this step; see `stop`.
        budget: seconds that the training may take, of all processes; None: any.
    """

    model: nn.Module
    whole_network: Callable[[], nn.Module]
    optimizer: torch.optim.Optimizer
    precision: Precision
    device: torch.device
    steps_per_epoch: int
    epochs: int
    average: WeightAverage | None
    held_gradients: bool
    progress: Progress
    task: Task
    budget: float | None = None
    batch: Batch | None = None
    row: dict[str, Any] = field(default_factory=dict)
    stopping: bool = False
    pending_losses: dict[int, Tensor] = field(default_factory=dict)  # by step; still on the device

    def __post_init__(self) -> None:
        self.learning_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.start_clock()

    @property
    def step(self) -> int:
        """Steps that are done, of the whole training."""
        return self.progress.step

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        return self.steps_per_epoch * self.epochs

    @property
    def epoch(self) -> int:
        """The epoch of the last step that is done, from 1."""
        return -(-self.step // self.steps_per_epoch)

    @property
    def at_epoch_end(self) -> bool:
        """Whether the last step that is done was the last of an epoch."""
        return self.step % self.steps_per_epoch == 0

    @property
    def schedule_step(self) -> int:
        """The step of the schedule that the next step is at: its own, or further where its time is shorter."""
        if self.budget is None:
            return self.step
        by_time = int(self.total_steps * self.progress.seconds / self.budget)
        return min(max(self.step, by_time), self.total_steps - 1)

    @property
    def is_out_of_time(self) -> bool:
        """Whether the training ends because its time is up."""
        return self.budget is not None and self.progress.seconds >= self.budget and self.step < self.total_steps

    @property
    def ends_row(self) -> bool:
        """Whether a row ends with the last step that is done: that of an epoch, or the last when time is up."""
        return self.at_epoch_end or self.is_out_of_time

    @property
    def history(self) -> History:
        """One row per finished epoch."""
        return self.progress.history

    def stop(self) -> None:
        """Ends the training after this step, as `TrainSettings.stop_step` does; it can be resumed from there."""
        self.stopping = True

    def start_clock(self) -> None:
        """Counts seconds from now, on top of those of the processes before."""
        self._started = time.monotonic() - self.progress.seconds

    def finish_step(self) -> None:
        """Counts a step and the time."""
        self.progress.schedule_step = self.schedule_step + 1
        self.progress.step += 1
        seconds = time.monotonic() - self._started
        group = processes()
        if self.budget is not None and not group.alone:  # all end in the same step
            (seconds,) = group.sums([seconds if group.is_first else 0.0])
        self.progress.seconds = seconds

    def set_learning_rates(self, factor: float) -> None:
        """Sets the optimizer's rates to `factor` times those that it was made with."""
        for group, rate in zip(self.optimizer.param_groups, self.learning_rates, strict=True):
            group["lr"] = rate * factor

    def read_losses(self) -> None:
        """Waits for the losses that are still on the device.

        Raises:
            InvalidInput: a loss that is not finite, by step.
        """
        if not self.pending_losses:
            return
        losses = torch.stack(list(self.pending_losses.values())).tolist()
        for step, loss in zip(self.pending_losses, losses, strict=True):
            if not math.isfinite(loss):
                raise InvalidInput(self._not_finite(step, loss))
        self.progress.epoch_losses += losses
        self.pending_losses.clear()

    def current_row(self) -> dict[str, Any]:
        """Returns the row of the epoch so far: epoch (1 is the first), step, mean loss, learning rate, seconds."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "loss": fmean(self.progress.epoch_losses) if self.progress.epoch_losses else None,
            "learning_rate": max(group["lr"] for group in self.optimizer.param_groups),
            "seconds": round(self.progress.seconds, 3),
            **({"ended": self._out_of_time_text()} if self.is_out_of_time else {}),
        }

    def _out_of_time_text(self) -> str:
        assert self.budget is not None
        return f"its {self.budget / 60:g} minutes were up after step {self.step} of {self.total_steps}"

    def _not_finite(self, step: int, loss: float) -> str:
        """One line on a loss that is not a number: where, and the most likely reason."""
        where, cause = f"the loss is {loss} at step {step} of {self.total_steps}", ""
        if self.batch is not None:
            inputs = as_inputs(self.batch.inputs).tensors().values()
            if not all(bool(torch.isfinite(value).all()) for value in inputs):
                return f"{where}: the training inputs hold NaN or infinity; check the data and its preprocessing"
            with torch.no_grad():
                output = output_tensors(self.task.call(self.whole_network(), self.batch))
                finite = all(bool(torch.isfinite(value).all()) for value in output)
            cause = "" if finite else "the model returns NaN or infinity"
        if step == 0:
            return f"{where}: {cause or 'the first loss'}, before any weight has moved; check the model"
        rate = self.optimizer.param_groups[0]["lr"]
        remedy = f"lower the learning rate (now {rate:.3g}) or set gradient_clip"
        return f"{where}: {cause or 'training diverged'}; {remedy}"


def new_state(
    model: nn.Module,
    settings: TrainSettings,
    steps_per_epoch: int,
    whole_network: Callable[[], nn.Module],
    *,
    task: Task,
    held_gradients: bool,
    average_buffers: bool,
    rates: Mapping[str, float] | None = None,
) -> TrainState:
    """Returns the state of a training of `model` at its first step, the model moved to the device.

    Of several processes all get the first one's model.

    `rates` are factors on the learning rate by parameter (see `ofa.train.layer_rates`).
    """
    device = torch.device(settings.device)
    model = model.to(device)
    if settings.channels_last:
        channels_last_(model)
    processes().make_alike_(model)
    optimizer = build_optimizer(settings.optimizer, model, rates)
    average = None
    if settings.ema is not None:
        average = WeightAverage(model, optimizer, settings.ema, {} if average_buffers else None)
    return TrainState(
        model=model,
        whole_network=whole_network,
        optimizer=optimizer,
        precision=replace(
            precision_of(settings.precision, device),
            where=None if settings.int8_layers is None else settings.int8_layers.by_weight(model),
        ),
        device=device,
        steps_per_epoch=steps_per_epoch,
        epochs=settings.epochs,
        average=average,
        held_gradients=held_gradients,
        progress=Progress(step=settings.start_step, schedule_step=settings.start_step),
        budget=None if settings.minutes is None else 60 * settings.minutes,
        task=task,
    )
