"""The dense network: built, given its initial weights, trained once, and kept for every recipe that starts from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ofa.checkpoint import load_checkpoint, load_weights, save_checkpoint, weights
from ofa.data import Dataset
from ofa.identity import digest_of
from ofa.inputs import Example
from ofa.loggers import Logger
from ofa.processes import processes
from ofa.prune.initializers import Initializer
from ofa.records import read_record, write_record
from ofa.task import Task
from ofa.train import TrainSettings, logged, train_network
from ofa.train.callbacks import NETWORK
from search.config.request import plain
from search.config.tuning import NetworkRecipe
from search.networks.folder import dense_name
from search.objects import build_data, build_task, check_outputs, make_model, make_partial
from search.run.locks import claimed, written_by_first
from search.run.paths import START, NetworkFolder, RunFolder
from search.run.progress import say, stage_progress
from search.run.scores import metrics_of
from search.run.stages import Stage, hash_of
from search.run.stored_inputs import begin_with, show_data, write_stored_config
from search.run.training_cards import DenseCard, TrainingStep, history_of
from search.training.baseline import check_metrics, early_warnings, no_better, validation_baseline
from search.training.judging import held_out
from search.training.loggers import MakeLoggers, no_loggers
from search.training.settings import check_computing, train_settings
from search.training.starts import Beginning, start_inputs
from search.training.trained import say_end, say_warnings, showing

NAME = "the dense network"
INITIAL_IMAGES = 512  # training images that an initializer sees


@dataclass(frozen=True)
class Network:
    """A network as its recipe describes it.

    Attributes:
        recipe: the inputs of its training.
        inputs: the digest of the weights that it starts from, where it starts from any.
        folder: of the dense network, which keeps a copy of those weights.
    """

    recipe: NetworkRecipe
    inputs: Mapping[str, str]
    folder: Path

    @cached_property
    def data(self) -> Dataset:
        """The data set; its contents are printed once."""
        config = plain(self.recipe.data)
        data = build_data(config)
        show_data(data, config)
        return data

    @property
    def seed(self) -> int:
        """The seed of everything random."""
        return self.recipe.seed

    @cached_property
    def task(self) -> Task:
        """What it learns."""
        return build_task(self.recipe.task, self.data)

    @property
    def initializer(self) -> Initializer | None:
        """The function that sets the initial weights; None keeps those of the model's class."""
        return make_partial("initializer", self.recipe.initializer) if self.recipe.initializer else None

    @property
    def initial_images(self) -> Example:
        """The training images that an initializer sees, (N, C, H, W)."""
        images: Example = self.data.calibration(INITIAL_IMAGES)
        return images

    def build(self) -> nn.Module:
        """Returns the network with the weights that its class draws from torch's global generator."""
        return make_model(self.recipe.model, self.data.input_shape, self.data.num_outputs)

    def begin(self, net: nn.Module) -> None:
        """Fills a network of the class with the weights that it starts from, if any: those kept in `folder`, once kept.

        Raises:
            InvalidInput: weights that are missing, damaged or of another network.
        """
        Beginning(self.recipe.start, self.folder / START)(net)

    def keep_start(self) -> None:
        """Keeps the weights that it starts from in `folder`, if any, once what can be wrong was tried: not if there."""
        if not self.recipe.start or (copy := self.folder / START).is_file():
            return
        beginning = Beginning(self.recipe.start, copy)
        net = self._drawn(beginning)
        say(f"dense: starts from {beginning.record}")
        beginning.keep(net, copy)

    def _drawn(self, begin: Callable[[nn.Module], None]) -> nn.Module:
        """The network as its class draws it from the seed, after `begin` has filled it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            net = self.build()
            begin(net)
        return net

    def initial(self) -> nn.Module:
        """Returns the network with its initial weights, a function of the seed and of the weights that it starts from.

        Raises:
            InvalidInput: a model whose outputs do not fit the task, weights to start from that do not fit, or an
                initializer that is not a function.
        """
        net = self._drawn(self.begin)
        check_outputs(net, self.data, self.task)
        if self.initializer is not None:
            self.initializer(net, self.initial_images, torch.Generator().manual_seed(self.seed))
        return net

    def training(self) -> TrainSettings:
        """Returns the settings of the training of the dense network.

        Raises:
            InvalidInput: an optimizer, a schedule or an augmentation that does not take its arguments.
        """
        return train_settings(self.recipe.dense, self.recipe.data.augment, self.seed, "dense")


@dataclass(frozen=True)
class Dense:
    """A trained dense network in its folder."""

    network: Network
    files: NetworkFolder
    card: DenseCard

    def load(self) -> nn.Module:
        """Returns a new copy of the network with its trained weights.

        Raises:
            InvalidInput: the file is damaged or of another model.
        """
        with torch.random.fork_rng(devices=[]):
            net = self.network.build()
        load_weights(net, load_checkpoint(self.files.weights)[0], str(self.files.weights))
        return net


def made_networks(run: RunFolder) -> list[Path]:
    """Returns the folders of a run's dense and pruned networks."""
    return [path for parent in (run.dense, run.pruned) for path in parent.glob("*/")]


def network_of(recipe: NetworkRecipe, run: RunFolder) -> Network:
    """Returns the network of a recipe, with the folder of a run that its dense training is kept in.

    Raises:
        InvalidInput: weights to start from that are not there and were never.
    """
    inputs = start_inputs(recipe.start, made_networks(run))
    return Network(recipe, inputs, run.dense / dense_name({**recipe.decides, **({"inputs": inputs} if inputs else {})}))


def dense_stage(network: Network, *, force: bool = False, loggers: MakeLoggers = no_loggers) -> Dense:
    """Returns the dense network of a configuration, trained now unless it exists."""
    folder = network.folder
    stage = Stage("dense", folder, network.recipe.decides, network.inputs)
    files = NetworkFolder(folder)
    with claimed(stage, force=force, waits=True) as needed:  # many recipes start from it
        if needed:
            _train(network, stage, force=force, loggers=loggers(f"dense/{folder.name}"))
        else:
            say(f"dense: {folder} is there, nothing to do")
    card = read_record(files.card, DenseCard)
    if needed:
        metric = card.metrics[0]
        score = card.scores.test[metric.name]
        say(f"dense: {metric.named_text(score)} on {score.examples:,} test examples")
    return Dense(network, files, card)


def _train(network: Network, stage: Stage, *, force: bool, loggers: Sequence[Logger]) -> None:
    check_computing("dense", "dense", network.recipe.dense)
    net = network.initial()
    settings = network.training()
    check_metrics(net, network.data, network.task)
    count = sum(parameter.numel() for parameter in net.parameters())
    say(f"dense: {type(net).__name__} of {count:,} parameters on {network.data.name}")
    with written_by_first(stage, force=force) as target:
        partial = NetworkFolder(target)
        begin_with(network.data, target, "delete that folder to start again")
        if processes().is_first:
            network.keep_start()
        with stage_progress("dense") as update:

            def show(step: TrainingStep) -> None:
                update(step.step, step.total_steps, f"loss {step.loss:.3f}")
                say_warnings("dense", early_warnings(step, {NETWORK: NAME}, network.task, network.data))

            training = train_network(
                net,
                network.data,
                settings,
                task=network.task,
                checkpoint=partial.checkpoint,
                callbacks=[showing(show), logged(loggers)],
            )
        if processes().is_first:
            _save(net, network, training.history, partial)


def _save(net: nn.Module, network: Network, history: list[dict[str, Any]], files: NetworkFolder) -> None:
    net.to("cpu")
    task, metrics = network.task, metrics_of(network.task)
    end_scores = held_out(net, network.data, task)
    doubts = no_better(NAME, metrics[0], end_scores.validation, validation_baseline(task, network.data))
    save_checkpoint(files.weights, weights(net), {"config_hash": hash_of(network.recipe.decides)})
    write_stored_config(files.config, plain(network.recipe))
    write_record(files.history, history_of(history))
    say_end("dense", history)
    card = DenseCard(
        digest=digest_of(net),
        config_hash=hash_of(network.recipe.decides),
        model=type(net).__name__,
        data=network.data.name,
        params=sum(parameter.numel() for parameter in net.parameters()),
        metrics=metrics,
        scores=end_scores,
        warnings=tuple(say_warnings("dense", doubts)),
        seconds=history[-1]["seconds"] if history else 0.0,
    )
    write_record(files.card, card)
    files.checkpoint.unlink(missing_ok=True)
