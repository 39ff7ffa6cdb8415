"""The recipe of a configuration as objects, and the pruner that it describes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ofa.arch import Arch
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.prune import Pruner
from ofa.prune.compatibility import check_parts
from ofa.prune.context import Allocation, Batches, Criterion
from ofa.prune.followers import Follower
from ofa.prune.granularity._channel import Latency
from ofa.prune.growing import GrowUnits
from ofa.prune.pruner import MakeGranularity
from ofa.prune.regrowth import Regrowth
from ofa.prune.regularizers import ControlledLasso, Regularizer
from ofa.prune.schedules import Schedule
from ofa.prune.times import resolved
from ofa.prune.weights import full_masks, prunable_weights
from ofa.supernet import Supernet
from ofa.task import Task
from ofa.train import MakePruner
from search.config.rules import Target
from search.config.tuning import Pruning
from search.device.profile import read_profile
from search.objects import make, make_partial
from search.run.progress import say


@dataclass(frozen=True)
class Recipe:
    """The `prune` group of a configuration, all but its method; see conf/prune/cubic.yaml for the meanings."""

    sparsity: float | None
    start: str
    criterion: Criterion
    allocation: Allocation
    granularity: MakeGranularity
    schedule: Schedule | None
    regrowth: Regrowth | GrowUnits | None
    regularizers: tuple[Regularizer | ControlledLasso, ...]
    followers: tuple[Follower, ...]
    keep: tuple[str, ...]
    include: tuple[str, ...]
    scoring: int
    slim: bool
    distill: float
    temperature: float | None
    task: Task | None = None  # whose loss criteria measure; None: cross entropy


def read_recipe(request: Pruning) -> Recipe:
    """Returns the parts of a recipe as objects.

    Raises:
        InvalidInput: a `_target_` that does not take its arguments.
    """
    regularizers, followers = request.regularizers or {}, request.followers or {}
    return Recipe(
        sparsity=request.sparsity,
        start=request.start,
        criterion=_function("criterion", request.criterion),
        allocation=_function("allocation", request.allocation),
        granularity=_function("granularity", request.granularity),
        schedule=make(request.schedule) if request.schedule else None,
        regrowth=make(request.regrowth) if request.regrowth else None,
        regularizers=tuple(make(regularizers[name]) for name in sorted(regularizers)),
        followers=tuple(make(followers[name]) for name in sorted(followers)),
        keep=request.keep,
        include=request.include,
        scoring=request.scoring,
        slim=request.slim,
        distill=request.retraining.distill,
        temperature=request.retraining.temperature,
    )


def _function(name: str, config: Target) -> Any:
    """A function with its options, or an object that is called like one."""
    return make_partial(f"prune.{name}", config) if config.get("_partial_") else make(config)


def check_recipe(recipe: Recipe, model: nn.Module, data: Dataset) -> None:
    """Checks the parts of a recipe against each other on a network of the same shapes, before anything is trained.

    Raises:
        InvalidInput: see `ofa.prune.compatibility.check_parts`.
    """
    example = example_of(model, data)
    weights = prunable_weights(model, recipe.keep, recipe.include, example)
    for regularizer in recipe.regularizers:
        if isinstance(regularizer, ControlledLasso):
            regularizer.bound(model, weights, example)
    if recipe.schedule is None and recipe.regrowth is None:
        return  # a method or a regularizer decides what is removed
    check_parts(
        recipe.criterion,
        recipe.allocation,
        recipe.granularity(model, weights, example),
        recipe.schedule,
        recipe.regrowth,
        tuple,  # training will provide batches
        full_masks(weights),
    )


def pruner_of(
    recipe: Recipe,
    data: Dataset,
    seed: int,
    epochs: int,
    *,
    rounds_before: int = 0,
    prepare: Callable[[Pruner], None] | None = None,
) -> MakePruner:
    """Returns the function that makes the recipe's pruner once the length of the training is known.

    `rounds_before` events come before the first step, each keeping the same share of the rest; `prepare` is
    called with the new pruner.

    Raises:
        InvalidInput: rounds before the training together with a schedule.
    """
    if rounds_before and recipe.schedule is not None:
        raise InvalidInput("prune.method.rounds_before takes the place of a schedule: add prune/schedule=none")
    if rounds_before and recipe.sparsity is None:
        raise InvalidInput("prune.sparsity, the fraction removed, must be set for prune.method.rounds_before")
    return partial(
        _make_pruner,
        recipe=recipe,
        data=data,
        seed=seed,
        epochs=epochs,
        rounds_before=rounds_before,
        prepare=prepare,
    )


def _make_pruner(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    total_steps: int,
    batches: Batches,
    *,
    recipe: Recipe,
    data: Dataset,
    seed: int,
    epochs: int,
    rounds_before: int,
    prepare: Callable[[Pruner], None] | None,
) -> Pruner:
    per_epoch = total_steps // epochs
    pruner = Pruner(
        model,
        optimizer,
        schedule=resolved(recipe.schedule, total_steps, per_epoch),
        criterion=recipe.criterion,
        allocation=recipe.allocation,
        granularity=recipe.granularity,
        regrowth=resolved(recipe.regrowth, total_steps, per_epoch),
        regularizers=tuple(resolved(each, total_steps, per_epoch) for each in recipe.regularizers),
        followers=tuple(resolved(each, total_steps, per_epoch) for each in recipe.followers),
        example_input=example_of(model, data),
        batches=batches,
        keep=recipe.keep,
        include=recipe.include,
        seed=seed,
        task=recipe.task,
    )
    if rounds_before:
        assert recipe.sparsity is not None  # checked by `pruner_of`
        pruner.prune(recipe.sparsity, rounds_before)
    if prepare is not None:
        prepare(pruner)
    return pruner


def example_of(model: nn.Module, data: Dataset) -> Any:
    """Returns two inputs to trace a model with, see `Dataset.example`, on the model's device."""
    return data.example(generator=torch.Generator().manual_seed(0)).to(next(model.parameters()).device)


def latency_of(profile: str) -> Latency:
    """Returns the latency model (ms at batch 1) of a device's profile, a file that `ofa profile` wrote.

    The profile should be of the same model: its latency model only knows the costs of such networks. Its held-out error
    is printed.

    Raises:
        InvalidInput: no such file, or it is damaged.
    """
    device_profile = read_profile(Path(profile))
    say(
        f"prune: latency model of {device_profile.name}, "
        f"{100 * device_profile.held_out_error:.1f} % off on networks held out"
    )

    def latency(supernet: Supernet, archs: Sequence[Arch]) -> Sequence[float]:
        return [float(ms) for ms in device_profile.predict_archs(supernet, archs)]

    return latency
