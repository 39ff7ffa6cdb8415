"""The learning rate that a training itself finds: a few dozen steps with a rising rate, before its first step.

`partial(torch.optim.SGD, lr="auto", momentum=0.9)` asks for it. The weights are then as they were, and the rate is
part of the training: a checkpoint holds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.task import Batch
from ofa.train.loop import Batches, Event, run
from ofa.train.optimizers import OptimizerBuilder
from ofa.train.settings import TrainSettings
from ofa.train.state import TrainState
from ofa.train.step import Step, StepContext

AUTO = "auto"  # in place of an optimizer's lr
STEPS = 60
LEAST, MOST = 1e-4, 10.0
_SMOOTHING = 0.8  # of the losses of single batches
_DIVERGED = 2.0  # times the least loss
_RISEN = 0.25  # of what the loss has fallen: from there on a rate is too high
_BELOW = 0.7  # of the highest rate that is not


@dataclass(frozen=True)
class RangeTest:
    """What a range test measured.

    Attributes:
        rates: of its steps, rising.
        losses: before each step.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def rate(self) -> float:
        """The learning rate to train with, of two digits.

        The smoothed loss falls, is flat, and rises where rates are too high. The rate is 0.7 times the last one before
        it has risen by a quarter of what it had fallen: where the loss is flat its least value is chance.

        Raises:
            InvalidInput: no loss was finite.
        """
        smoothed = _smoothed(self.losses)
        if not smoothed:
            raise InvalidInput(
                f"lr='auto': no loss is finite, not even at {LEAST:g}; check data and model, or give a rate"
            )
        best = min(range(len(smoothed)), key=smoothed.__getitem__)
        fallen = max(smoothed[: best + 1]) - smoothed[best]
        allowed = smoothed[best] + _RISEN * fallen
        rises = (number for number in range(best, len(smoothed)) if smoothed[number] > allowed)
        edge = max(best, next(rises, len(smoothed)) - 1)
        return float(f"{_BELOW * self.rates[edge]:.1e}")


def is_auto(optimizer: OptimizerBuilder) -> bool:
    """Returns whether an optimizer's learning rate is to be found."""
    return isinstance(optimizer, partial) and optimizer.keywords.get("lr") == AUTO


def with_rate(settings: TrainSettings, rate: float = 1.0) -> TrainSettings:
    """Returns the settings with a learning rate where it is to be found; the very same where it is given."""
    if not is_auto(settings.optimizer):
        return settings
    arguments: dict[str, Any] = {"lr": rate}
    return replace(settings, optimizer=partial(settings.optimizer, **arguments))


def range_test(
    step: Step, batches: Batches, new_state: Callable[[TrainSettings], TrainState], settings: TrainSettings
) -> RangeTest:
    """Returns the losses of the first steps of a training whose learning rate rises from 1e-4 to 10.

    It ends where the loss is twice its least. Weights, buffers and gradients of the model are as before afterwards. It
    is a function of the settings' seed.
    Source: Smith 2015, 1506.01186, section 3.3; rates rise geometrically, as in fastai.

    Args:
        step: of the training.
        batches: of the training.
        new_state: makes the state of a training of these settings.
        settings: of the training; its schedule and limit of time do not count.
    """
    trial = replace(
        with_rate(settings),
        schedule=_rising,
        start_step=0,
        stop_step=STEPS,
        epochs=max(settings.epochs, STEPS),  # of a step or more each, so that a short training tries all rates too
        minutes=None,
    )
    losses: dict[int, list[float]] = {}

    def watched(batch: Batch, context: StepContext) -> Tensor:
        loss = step(batch, context)
        losses.setdefault(context.step, []).append(float(context.mean(loss)))  # the same in all processes
        return loss.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)  # the loop refuses what is not finite

    def end_when_diverged(event: Event, state: TrainState) -> None:
        if event is Event.STEP:
            smoothed = _smoothed(_means(losses))
            if len(smoothed) < len(losses) or smoothed[-1] > _DIVERGED * min(smoothed) > 0:
                state.stop()

    state = new_state(trial)
    with _as_before(state.model):
        run(watched, batches, state, trial, [end_when_diverged])
    means = _means(losses)
    return RangeTest(tuple(_rising(number, 0) for number in range(len(means))), tuple(means))


def found_rate(
    step: Step, batches: Batches, new_state: Callable[[TrainSettings], TrainState], settings: TrainSettings
) -> list[FoundRate]:
    """Returns the callback that finds and sets the rate, in a list that is empty where the rate is given.

    Arguments are those of `range_test`.
    """
    if not is_auto(settings.optimizer):
        return []
    return [FoundRate(lambda: range_test(step, batches, new_state, settings).rate)]


class FoundRate:
    """A callback that sets the learning rate that `measure` finds, before the first step; checkpoints include it."""

    def __init__(self, measure: Callable[[], float]) -> None:
        self._measure = measure
        self.rate: float | None = None

    def __call__(self, event: Event, state: TrainState) -> None:
        """Finds the rate on START, unless an earlier process has, and sets it."""
        if event is Event.START:
            if self.rate is None:
                self.rate = self._measure()
            state.learning_rates = [factor * self.rate for factor in state.learning_rates]

    def state_dict(self) -> dict[str, Any]:
        """Returns the rate."""
        return {"rate": self.rate}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts back what `state_dict` returned."""
        rate = state["rate"]
        if rate is not None and not (isinstance(rate, float) and 0 < rate < math.inf):
            raise ValueError(f"rate {rate!r} is no learning rate")
        self.rate = rate


def _rising(step: int, total_steps: int) -> float:
    """The rate of a step of a range test, as a factor on 1."""
    return float(LEAST * (MOST / LEAST) ** (min(step, STEPS - 1) / (STEPS - 1)))


def _means(losses: dict[int, list[float]]) -> list[float]:
    return [sum(values) / len(values) for _, values in sorted(losses.items())]


def _smoothed(losses: list[float] | tuple[float, ...]) -> list[float]:
    """Moving averages of losses, up to the first that is not finite."""
    averages: list[float] = []
    average = 0.0
    for number, loss in enumerate(losses, 1):
        if not math.isfinite(loss):
            break
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        averages.append(average / (1 - _SMOOTHING**number))
    return averages


@contextmanager
def _as_before(model: nn.Module) -> Iterator[None]:
    """After the block the model's weights, buffers and gradients are as before."""
    tensors = [*model.parameters(), *model.buffers()]
    gradients = [parameter.grad for parameter in model.parameters()]
    copies = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, before in zip(tensors, copies, strict=True):
                tensor.copy_(before)
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient
