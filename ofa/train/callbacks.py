"""Callbacks of the training loop: pruning, validation and progress. Yours have the same signature.

For example, a figure of your own in the history, and an end to the training:

    def stop_early(event: Event, state: TrainState) -> None:
        if event is Event.EPOCH:
            state.row["zeros"] = sum(int((weight == 0).sum()) for weight in state.model.parameters())
            if state.row["loss"] < 0.1:
                state.stop()

    train(supernet, data, sandwich, settings, callbacks=[stop_early])
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn

from ofa._calibrate import calibrate
from ofa.arch import Arch
from ofa.data import Dataset
from ofa.processes import processes
from ofa.resolution import resized
from ofa.task import Task, scores
from ofa.task.scoring import values
from ofa.train.loop import Callback, Event
from ofa.train.settings import TrainSettings
from ofa.train.state import TrainState

if TYPE_CHECKING:
    from ofa.prune.pruner import Pruner
    from ofa.supernet import Supernet

NETWORK = "network"  # the name of a plain network in `scores`

_PROGRESS_SECONDS = 0.5


class Pruning:
    """A callback that takes the pruner's step after the optimizer's, and adds `density` to the row of an epoch."""

    def __init__(self, pruner: Pruner) -> None:
        self._pruner = pruner

    def __call__(self, event: Event, state: TrainState) -> None:
        """Steps the pruner on UPDATE."""
        if event is Event.UPDATE:
            self._pruner.step()
        elif event is Event.EPOCH:
            state.row["density"] = float(self._pruner.density)

    def state_dict(self) -> dict[str, Any]:
        """Returns the pruner's state, which checkpoints include."""
        return self._pruner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts back what `state_dict` returned."""
        self._pruner.load_state_dict(state)


def validation(measure: Callable[[], Mapping[str, Mapping[str, float]]], settings: TrainSettings) -> Callback:
    """Returns a callback that adds `scores`, what `measure` returns, to the rows of epochs that `validate_every` names.

    They are values by network and metric, such as {"largest": {"accuracy": 0.93}}.

    With `TrainSettings.ema` the averaged weights are measured.
    """

    def validate(event: Event, state: TrainState) -> None:
        if event is Event.EPOCH:
            last = state.is_out_of_time and settings.validate_every > 0
            if last or is_due(state.epoch, settings.epochs, settings.validate_every):
                with averaged(state):
                    state.row["scores"] = {name: dict(measured) for name, measured in measure().items()}

    return validate


def progress_rows(show: Callable[[dict[str, Any]], None]) -> Callback:
    """Returns a callback that shows the row so far about twice a second, and each finished row; in one process alone.

    Rows are those of `History`, with "epochs" and "total_steps" of the whole training.
    """
    shown = time.monotonic()

    def progress(event: Event, state: TrainState) -> None:
        nonlocal shown
        if event is not Event.STEP or not processes().is_first:
            return
        now = time.monotonic()
        if state.ends_row or now - shown >= _PROGRESS_SECONDS:
            shown = now
            row = state.history[-1] if state.ends_row else state.current_row()
            show(row | {"epochs": state.epochs, "total_steps": state.total_steps})

    return progress


def is_due(epoch: int, epochs: int, every: int) -> bool:
    """Returns whether scores are measured after this epoch (from 1): each `every` epochs (0: never), and the last.

    It is after a third of the training too: by then a network that learns is better than guessing.
    """
    return every > 0 and (epoch % every == 0 or epoch in (first_third(epochs), epochs))


def first_third(epochs: int) -> int:
    """Returns the number of epochs that are a third of a training."""
    return -(-epochs // 3)


@contextmanager
def averaged(state: TrainState) -> Iterator[None]:
    """The model holds the averaged weights within the block, where the training averages them."""
    if state.average is None:
        yield
    else:
        with state.average.in_place():
            yield


def supernet_scores(
    supernet: Supernet, data: Dataset, task: Task, calibration_images: int, archs: Mapping[str, Arch] | None = None
) -> dict[str, dict[str, float]]:
    """Returns the value of each metric, by name, of each Arch on the validation split; largest and smallest if None.

    Norm statistics are measured on `calibration_images` training images.
    """
    if archs is None:
        archs = {"largest": supernet.space.largest, "smallest": supernet.space.smallest}
    images = data.calibration(calibration_images)
    measured = {}
    for name, arch in archs.items():
        view = calibrate(supernet.subnet(arch), resized(images, arch))
        measured[name] = network_scores(view, resized(data, arch), task)
    return measured


def network_scores(net: nn.Module, data: Dataset, task: Task) -> dict[str, float]:
    """Returns the value of each metric, by name, of a network on the validation split."""
    return values(scores(net, data.validation.in_order(), task, standard_errors=False))
