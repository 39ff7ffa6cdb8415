"""One run: a supernet trained by a recipe and judged by its subnets, or one network trained alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from torch import nn

import ofa
from benchmarks.quality.problems import Problem
from ofa.checkpoint import load_supernet, save_supernet
from ofa.data import Dataset
from ofa.models.sizes import initialize_
from ofa.task import Task, scores
from ofa.train import train_network
from search.config.read import read_request
from search.config.request import plain
from search.config.tuning import SupernetRecipe, TrainRequest
from search.objects import build_data, build_supernet, build_task
from search.run.paths import conf_dir
from search.training.settings import train_settings
from search.training.trained import run_training

CALIBRATION_IMAGES = 1024


@dataclass(frozen=True)
class Judged:
    """What a network scored on test and validation examples, in the objective's own unit."""

    test: float
    validation: float


@dataclass(frozen=True)
class Setting:
    """A problem with the folders of its data."""

    problem: Problem
    folders: tuple[tuple[str, str], ...] = ()

    def recipe(self, seed: int, overrides: Sequence[str] = (), epochs: int | None = None) -> SupernetRecipe:
        """Returns what `ofa train` trains from, for one seed."""
        fixed = (f"train={self.problem.group}", "train.validate_every=0", f"seed={seed}")
        length = f"train.epochs={self.problem.epochs if epochs is None else epochs}"
        chosen = [*fixed, length, *self.problem.all_overrides(dict(self.folders)), *overrides]
        with initialize_config_dir(str(conf_dir().resolve()), version_base="1.3"):
            return read_request(compose("train", chosen), TrainRequest).recipe


@cache
def data_of(setting: Setting) -> Dataset:
    """Returns the data set of a problem, the same for all seeds, read once."""
    return build_data(plain(setting.recipe(0).data))


@cache
def task_of(setting: Setting) -> Task:
    """Returns the task of a problem."""
    return build_task(setting.recipe(0).task, data_of(setting))


def fresh_supernet(setting: Setting, seed: int) -> ofa.Supernet:
    """Returns the supernet with the initial weights of a seed."""
    recipe = setting.recipe(seed)
    return build_supernet(recipe.model, recipe.space, data_of(setting), seed, task=task_of(setting))


def spread_archs(supernet: ofa.Supernet, count: int, drawn: int = 400) -> list[ofa.Arch]:
    """Returns the largest and the smallest Arch, and others whose MACs lie evenly between, on a scale of logarithms.

    Each is the nearest to its place of `drawn` Archs, whose number of open values is drawn first, so that they
    cover the range; no Arch comes twice.
    """
    space, rng = supernet.space, np.random.default_rng(0)
    archs = [space.largest, space.smallest]
    pool = list(dict.fromkeys(_leaning(space, rng) for _ in range(drawn)))
    macs = np.log(ofa.cost(supernet, [*archs, *pool])["macs"])
    for share in np.linspace(0, 1, count)[1:-1]:
        place = macs[1] + share * (macs[0] - macs[1])
        order = np.argsort(np.abs(macs[2:] - place), kind="stable")
        archs.append(next(pool[i] for i in order if pool[i] not in archs))
    return archs


def _leaning(space: ofa.Space, rng: np.random.Generator) -> ofa.Arch:
    """An Arch whose choices lean to the small or to the large side together: independent ones have middle sizes."""
    lean = rng.beta(0.5, 0.5)
    values = {}
    for choice in space.choices:
        values[choice.key] = choice.values[int(rng.binomial(len(choice.values) - 1, lean))]
    return space.arch(values)


def judge(setting: Setting, net: nn.Module) -> Judged:
    """Returns the scores of a network, its norm statistics measured on training examples."""
    data, task = data_of(setting), task_of(setting)
    net = ofa.calibrate(net, data.calibration(CALIBRATION_IMAGES))
    name = task.objective.name
    test, validation = (
        scores(net, split.in_order(), task, standard_errors=False, names=[name])[name].value
        for split in (data.test, data.validation)
    )
    return Judged(test, validation)


def train_supernet(
    setting: Setting, overrides: Sequence[str], seed: int, archs: Sequence[ofa.Arch], weights: Path | None
) -> dict[str, Any]:
    """Returns the scores of the supernet's subnets and the training's CPU time; its weights go to a file, if given."""
    supernet, recipe = fresh_supernet(setting, seed), setting.recipe(seed, overrides)
    start = time.process_time()
    run_training(supernet, data_of(setting), recipe, None)
    seconds = time.process_time() - start
    if weights is not None:
        weights.parent.mkdir(parents=True, exist_ok=True)
        save_supernet(supernet, weights)
    return {**judge_archs(setting, supernet, archs), "training_cpu_seconds": round(seconds, 1)}


def judge_archs(setting: Setting, supernet: ofa.Supernet, archs: Sequence[ofa.Arch]) -> dict[str, Any]:
    """Returns the test and validation scores of each Arch."""
    judged = [judge(setting, supernet.subnet(arch)) for arch in archs]
    return {"test": [each.test for each in judged], "validation": [each.validation for each in judged]}


def judge_file(setting: Setting, weights: Path, archs: Sequence[ofa.Arch]) -> dict[str, Any]:
    """Returns the scores of each Arch of a supernet that was trained and kept before."""
    supernet = fresh_supernet(setting, 0)
    load_supernet(supernet, weights)
    return judge_archs(setting, supernet, archs)


def train_alone(setting: Setting, arch: ofa.Arch, rate: float, seed: int) -> dict[str, Any]:
    """Returns the scores of one Arch trained from fresh weights of its own, and the training's CPU time."""
    net = fresh_network(setting, arch, seed)
    return _trained_on(setting, net, setting.recipe(seed, [f"train.optimizer.lr={rate}"]))


def fresh_network(setting: Setting, arch: ofa.Arch, seed: int) -> nn.Module:
    """Returns a network of one Arch with initial weights of its own.

    Where there are convolutions these are drawn anew, since their scale depends on the layer's width; transformers
    draw theirs at one scale, and take those of the supernet.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = fresh_supernet(setting, seed).extract(arch)
        torch.manual_seed(seed)
        if any(isinstance(module, nn.BatchNorm2d) for module in net.modules()):
            initialize_(net)
    return net


def finetune(setting: Setting, weights: Path, arch: ofa.Arch, rate: float, epochs: int, seed: int) -> dict[str, Any]:
    """Returns the scores of one Arch cut out of a trained supernet and trained on alone for `epochs`."""
    supernet = fresh_supernet(setting, 0)
    load_supernet(supernet, weights)
    net = supernet.extract(arch)
    return _trained_on(setting, net, setting.recipe(seed, [f"train.optimizer.lr={rate}"], epochs))


def _trained_on(setting: Setting, net: nn.Module, recipe: SupernetRecipe) -> dict[str, Any]:
    """The scores of a network after a training of its own, in place, and the training's CPU time."""
    settings = train_settings(recipe.train, recipe.data.augment, recipe.seed)
    start = time.process_time()
    train_network(net, data_of(setting), settings, task=task_of(setting))
    seconds = time.process_time() - start
    judged = judge(setting, net)
    return {"test": judged.test, "validation": judged.validation, "training_cpu_seconds": round(seconds, 1)}
