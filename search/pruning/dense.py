"""The dense network: built, given its initial weights, trained once, and kept for every recipe that starts from it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from ofa.checkpoint import load_checkpoint, load_weights, save_checkpoint, weights
from ofa.data import Dataset
from ofa.evaluate import evaluate
from ofa.paths import read_json, write_atomic, write_json
from ofa.prune.initializers import Initializer
from ofa.train import train_network
from ofa.train.digest import digest_of
from search.app.build import EXAMPLES, build_data, check_logits, make, make_partial
from search.app.train import try_optimizer
from search.paths import NetworkFolder, RunFolder
from search.progress import say, stage_progress
from search.pruning.naming import dense_name
from search.report.numbers import percent_text
from search.stages import Stage, hash_of, is_needed, written

INITIAL_IMAGES = 512  # training images that an initializer sees
# Keys of `dense` that say how to run it and change nothing that comes out.
HOW_TO_RUN = ("checkpoint_seconds", "validate_every")


@dataclass(frozen=True)
class Network:
    """A network as a configuration describes it: model, data, initializer, dense and seed."""

    config: Mapping[str, Any]

    @cached_property
    def data(self) -> Dataset:
        """The data set."""
        return build_data(self.config["data"])

    @property
    def decides(self) -> dict[str, Any]:
        """The part of the configuration that decides the trained weights."""
        found = copy.deepcopy(dict(self.config))
        for key in HOW_TO_RUN:
            found["dense"].pop(key, None)
        return found

    @property
    def seed(self) -> int:
        """Of everything random."""
        return int(self.config["seed"])

    @property
    def initializer(self) -> Initializer | None:
        """What gives the network its initial weights; None: the model itself."""
        return make_partial("initializer", self.config["initializer"]) if self.config.get("initializer") else None

    @property
    def initial_images(self) -> Tensor:
        """The training images that an initializer sees, (N, C, H, W)."""
        return self.data.calibration(INITIAL_IMAGES)

    def build(self) -> nn.Module:
        """Returns the network as its class draws it, from torch's global generator."""
        net: nn.Module = make(
            self.config["model"], input_shape=self.data.input_shape, num_classes=self.data.num_classes
        )
        return net

    def initial(self) -> nn.Module:
        """Returns the network with its initial weights, a function of the seed.

        Raises:
            InvalidInput: a model that returns no logits, or an initializer that is no function.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            net = self.build()
            example = torch.randn(EXAMPLES, *self.data.input_shape)
        check_logits(net, example, self.data)
        if self.initializer is not None:
            self.initializer(net, self.initial_images, torch.Generator().manual_seed(self.seed))
        return net

    def training(self) -> dict[str, Any]:
        """Returns the keyword arguments of `train_network` that do not depend on a recipe.

        Raises:
            InvalidInput: an optimizer, a schedule or an augmentation that does not take its arguments.
        """
        return training_settings(self.config["dense"], self.config["data"].get("augment"))


def training_settings(dense: Mapping[str, Any], augment: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the keyword arguments of `train_network` that a `dense` group and an augmentation say.

    Raises:
        InvalidInput: an optimizer, a schedule or an augmentation that does not take its arguments.
    """
    settings = dict(dense)
    for key in ("optimizer", "schedule"):
        settings[key] = make_partial(f"dense.{key}", settings[key])
    try_optimizer(settings["optimizer"], "dense.optimizer")
    settings["augment"] = make_partial("data.augment", augment) if augment else None
    return settings


@dataclass(frozen=True)
class Dense:
    """A trained dense network in its folder."""

    network: Network
    files: NetworkFolder
    card: Mapping[str, Any]

    def load(self) -> nn.Module:
        """Returns a new copy of the network with its trained weights.

        Raises:
            InvalidInput: the file is damaged or of another model.
        """
        net = self.network.initial()
        load_weights(net, load_checkpoint(self.files.weights)[0], str(self.files.weights))
        return net


def dense_stage(network: Network, run: RunFolder, *, force: bool = False) -> Dense:
    """Returns the dense network of a configuration, trained now unless that was done before."""
    decides = network.decides
    folder = run.dense / dense_name(decides)
    stage = Stage("dense", folder, decides)
    files = NetworkFolder(folder)
    if not is_needed(stage, force=force):
        say(f"dense: {folder} is there, nothing to do")
        return Dense(network, files, read_json(files.card))
    net = network.initial()
    settings = network.training()
    count = sum(parameter.numel() for parameter in net.parameters())
    say(f"dense: {type(net).__name__} of {count:,} parameters on {network.data.name}")
    with written(stage, force=force) as target:
        made = NetworkFolder(target)
        with stage_progress("dense") as update:
            training = train_network(
                net,
                network.data,
                **settings,
                seed=network.seed,
                checkpoint=made.checkpoint,
                progress=lambda row: update(int(row["step"]), int(row["total_steps"]), f"loss {row['loss']:.3f}"),
            )
        _save(net, network, training.history, made)
    card = read_json(files.card)
    say(f"dense: test accuracy {percent_text(card['accuracy']['test'])}")
    return Dense(network, files, card)


def held_out(net: nn.Module, data: Dataset) -> dict[str, float]:
    """Returns the accuracy of a network on "validation" and on "test", fractions."""
    return {
        "validation": evaluate(net, data.validation.in_order()),
        "test": evaluate(net, data.test.in_order()),
    }


def save_config(path: Path, config: Mapping[str, Any]) -> None:
    """Writes a configuration of plain values as YAML."""
    write_atomic(path, OmegaConf.to_yaml(OmegaConf.create(dict(config))).encode())


def _save(net: nn.Module, network: Network, history: list[dict[str, Any]], files: NetworkFolder) -> None:
    net.to("cpu")
    save_checkpoint(files.weights, weights(net), {"config_hash": hash_of(network.decides)})
    save_config(files.config, network.config)
    write_json(files.history, history)
    card = {
        "digest": digest_of(net),
        "config_hash": hash_of(network.decides),
        "model": type(net).__name__,
        "data": network.data.name,
        "params": sum(parameter.numel() for parameter in net.parameters()),
        "accuracy": held_out(net, network.data),
        "seconds": history[-1]["seconds"] if history else 0.0,
    }
    write_json(files.card, card)
    files.checkpoint.unlink(missing_ok=True)
