"""Training a supernet by its recipe, warnings of collapse, and reading a trained one back from its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import ofa
from ofa import Supernet
from ofa.calibration_size import calibration_size
from ofa.checkpoint import load_supernet
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.loggers import Logger
from ofa.records import convert, read_record
from ofa.task import Task
from ofa.train import Callback, Event, History, TrainSettings, TrainState, logged, progress_rows, train
from ofa.train.own_batches import epoch_steps
from ofa.train.rate_test import is_auto
from search.config.request import without
from search.config.rules import AUTO, CalibrationExamples
from search.config.tuning import SupernetRecipe
from search.objects import build_data, build_supernet, build_task
from search.run.paths import RunFolder, SupernetFolder
from search.run.progress import say
from search.run.stages import hash_of, is_complete
from search.run.stored_inputs import check_same, read_stored_config, show_data
from search.run.training_cards import SupernetCard, TrainingStep
from search.run.trust import TOOLKIT_ALONE, Trust, check_stored
from search.training.probe import probing
from search.training.settings import build_strategy, step_batches, train_settings, with_rate_of
from search.training.sorting import sort_supernet_
from search.training.starts import check_settled
from search.training.teachers import build_teacher

START_KEY = "start"  # of the configuration
_VALIDATED = 1024  # examples of norm statistics during a training, where its end says how many it takes
STORED = "ofa.data_file.load_data"  # the function that reads a data set from a file


def run_training(
    supernet: ofa.Supernet,
    data: Dataset,
    recipe: SupernetRecipe,
    checkpoint: Path | None,
    progress: Callable[[TrainingStep], None] | None = None,
    *,
    stop_after: float | None = None,
    loggers: Sequence[Logger] = (),
) -> History:
    """Returns the history of training a supernet by its recipe.

    `stop_after` ends the training after that fraction of its steps.
    """
    settings = train_settings(recipe.train, recipe.data.augment, recipe.seed)
    lowered = with_rate_of(supernet.model, settings, recipe.train.rate_without_norms)
    if lowered is not settings:
        say(
            f"train: learning rate {recipe.train.rate_without_norms:g} times train.optimizer.lr, "
            f"as {type(supernet.model).__name__} has no normalization layers (train.rate_without_norms)"
        )
    settings = lowered
    images = recipe.train.calibration_images
    settings = replace(
        settings,
        calibration_images=_VALIDATED if images == AUTO else images,
        archs_per_rank=recipe.train.archs_per_rank,
        batches_per_step=step_batches(recipe.train, recipe.teacher),
    )
    if stop_after is not None:
        settings = replace(settings, stop_step=_steps(data, settings, stop_after))
    task = build_task(recipe.task, data)
    sort_supernet_(supernet, data, task, recipe.train, recipe.seed)
    probes = (
        [probing(supernet, data, task, settings, recipe.train)]
        if recipe.train.probe_epochs and stop_after is None
        else []
    )
    teacher = build_teacher(recipe.teacher, supernet.model, data)
    return train(
        supernet,
        data,
        build_strategy(recipe.train, recipe.teacher),
        settings,
        task=task,
        teacher=teacher,
        checkpoint=checkpoint,
        callbacks=[
            *_rate_said(settings),
            *probes,
            *([] if progress is None else [showing(progress)]),
            logged(loggers),
        ],
    )


def showing(show: Callable[[TrainingStep], None]) -> Callback:
    """Returns a callback of a training that shows how far it is, about twice a second and after each epoch."""
    return progress_rows(lambda row: show(convert(row, TrainingStep, "progress")))


def _steps(data: Dataset, settings: TrainSettings, fraction: float) -> int:
    total = epoch_steps(data.train, settings) * settings.epochs
    return max(1, round(fraction * total))


@dataclass(frozen=True)
class Trained:
    """A trained supernet, its data set, what it learned, and the resolved configuration of all.

    Attributes:
        start: the file with the weights that the training began with; None for those of the model's class.
    """

    supernet: Supernet
    data: Dataset
    task: Task
    config: dict[str, Any]
    card: SupernetCard
    start: Path | None = None

    @property
    def digest(self) -> str:
        """The supernet's digest."""
        return self.card.digest

    def calibration(self, examples: CalibrationExamples) -> Any:
        """Returns the training inputs, normalized, that norm statistics are measured on.

        Args:
            examples: how many; "auto": as many as the card says, measured now where it does not.
        """
        return self.data.calibration(self._examples if examples == AUTO else examples)

    def calibration_source(self, examples: CalibrationExamples) -> Any:
        """Returns the same, read again each time where that takes much memory (see `Dataset.calibration_source`)."""
        return self.data.calibration_source(self._examples if examples == AUTO else examples)

    @cached_property
    def _examples(self) -> int:
        known = self.card.calibration
        return calibration_size(self.supernet, self.data).examples if known is None else known.examples


def load_trained(run: RunFolder, trust: Trust = TOOLKIT_ALONE, *, show: bool = True) -> Trained:
    """Returns the trained supernet of a run with its data, which is described on the terminal if `show`.

    Only trusted targets are called, even if the configuration names others.

    Raises:
        InvalidInput: no supernet was trained, its files are damaged or do not belong together, its configuration names
            a target that is not trusted, or the data is not what it was trained with.
    """
    files = SupernetFolder(run.supernet)
    if not is_complete(files.root):
        unfinished = "its training was not finished: run the same ofa train again"
        remedy = unfinished if files.root.exists() else f"run ofa train run={run.name} first"
        raise InvalidInput(f"{files.root} holds no trained supernet ({remedy})")
    card, config = read_record(files.card, SupernetCard), _read_config(files)
    check_stored(without(config, START_KEY), trust, files.config)  # a start is never called again
    check_settled(config["model"], files.config)
    if hash_of(config) != card.config_hash:
        raise InvalidInput(f"{files.config} is not what {files.weights} was trained with; restore it")
    data = build_data(data_config(config["data"], files))
    if show:
        show_data(data, config["data"])
    check_same(data, files.root, f"ofa train run={run.name} force=true to train this one again")
    task = build_task(config["task"], data)
    supernet = build_supernet(config["model"], config["space"], data, int(config["seed"]), task=task)
    load_supernet(supernet, files.weights)
    if supernet.digest != card.digest:
        raise InvalidInput(f"{files.weights} is not the supernet that {files.card} describes; restore both")
    start = files.start if config.get(START_KEY) else None
    if start is not None and not start.is_file():
        raise InvalidInput(f"{start} is missing, the weights that the training began with; restore it")
    return Trained(supernet, data, task, config, card, start)


def data_config(config: Mapping[str, Any], files: SupernetFolder) -> dict[str, Any]:
    """Returns the `data` group of a run with the path of a data set that is stored in its folder, which can be moved.

    Raises:
        InvalidInput: it names another file than the folder's.
    """
    dataset = config["dataset"]
    if not isinstance(dataset, Mapping) or dataset.get("_target_") != STORED:
        return dict(config)
    if dataset.get("path") != files.dataset.name:
        raise InvalidInput(f"{files.config} is damaged: data.dataset.path must be {files.dataset.name}")
    return {**config, "dataset": {**dataset, "path": str(files.dataset)}}


def _read_config(files: SupernetFolder) -> dict[str, Any]:
    config = read_stored_config(files.config)
    if not {"model", "data", "task", "space", "train", "seed"} <= config.keys():
        raise InvalidInput(f"{files.config} is damaged: it needs model, data, task, space, train and seed")
    return config


def say_end(verb: str, history: History) -> None:
    """Prints why a training ended before its epochs, if it did."""
    if ended := (history[-1].get("ended") if history else None):
        say(f"{verb}: ended early: {ended}")


def say_warnings(verb: str, lines: Iterable[str]) -> list[str]:
    """Returns the lines after printing each as a warning."""
    warnings = list(lines)
    for line in warnings:
        say(f"{verb}: warning: {line}")
    return warnings


def _rate_said(settings: TrainSettings) -> list[Callback]:
    """Returns a callback that prints the rate before the first step of a process; none where the rate is given."""
    return [_say_rate] if is_auto(settings.optimizer) else []


def _say_rate(event: Event, state: TrainState) -> None:
    if event is Event.START:
        say(f"train: learning rate {max(state.learning_rates):.2g}, found by a range test")
