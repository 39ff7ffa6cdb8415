"""A recipe of the configuration as objects, and the pruner that it describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from ofa.errors import InvalidInput
from ofa.prune import Pruner
from ofa.prune.allocation_context import Allocation
from ofa.prune.context import Batches, Criterion
from ofa.prune.pruner import MakeGranularity
from ofa.prune.regrowth import Regrowth
from ofa.prune.regularizers import Regularizer
from ofa.prune.schedules import Schedule
from ofa.prune.times import resolved
from ofa.train.network import MakePruner
from search.app.build import make, make_partial, positive

EXAMPLES = 2  # images that a model is traced with


@dataclass(frozen=True)
class Recipe:
    """The `prune` group of a configuration, all but its method; see conf/prune/cubic.yaml for the meanings."""

    sparsity: float
    start: str
    criterion: Criterion
    allocation: Allocation
    granularity: MakeGranularity
    schedule: Schedule | None
    regrowth: Regrowth | None
    regularizers: tuple[Regularizer, ...]
    keep: tuple[str, ...]
    scoring: int
    slim: bool
    distill: float
    temperature: float


def read_recipe(config: Mapping[str, Any]) -> Recipe:
    """Returns the recipe of a `prune` group.

    Raises:
        InvalidInput: a setting out of range, or a `_target_` that does not take its arguments.
    """
    sparsity = config["sparsity"]
    if isinstance(sparsity, bool) or not isinstance(sparsity, int | float) or not 0 <= sparsity < 1:
        raise InvalidInput(f"prune.sparsity={sparsity!r} is the fraction removed: at least 0 and less than 1")
    regularizers = config.get("regularizers") or {}
    retraining = config["retraining"]
    return Recipe(
        sparsity=float(sparsity),
        start=str(config["start"]),
        criterion=_function("criterion", config["criterion"]),
        allocation=_function("allocation", config["allocation"]),
        granularity=_function("granularity", config["granularity"]),
        schedule=make(config["schedule"]) if config.get("schedule") else None,
        regrowth=make(config["regrowth"]) if config.get("regrowth") else None,
        regularizers=tuple(make(regularizers[name]) for name in sorted(regularizers)),
        keep=tuple(str(pattern) for pattern in config["keep"]),
        scoring=positive("prune.scoring", config["scoring"]),
        slim=bool(config["slim"]),
        distill=float(retraining["distill"]),
        temperature=float(retraining["temperature"]),
    )


def _function(name: str, config: Mapping[str, Any]) -> Any:
    """A function with its options, or an object that is called like one."""
    return make_partial(f"prune.{name}", config) if config.get("_partial_") else make(config)


def pruner_of(
    recipe: Recipe,
    input_shape: Sequence[int],
    seed: int,
    epochs: int,
    *,
    rounds_before: int = 0,
    prepare: Callable[[Pruner], None] | None = None,
) -> MakePruner:
    """Returns what makes the recipe's pruner when the length of the training is known.

    `rounds_before` events come before the first step, each keeping the same share of what is left; `prepare` is
    called with the new pruner.

    Raises:
        InvalidInput: rounds before the training together with a schedule.
    """
    if rounds_before and recipe.schedule is not None:
        raise InvalidInput("prune.method.rounds_before takes the place of a schedule: add prune/schedule=none")
    return partial(
        _make_pruner,
        recipe=recipe,
        input_shape=tuple(input_shape),
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
    input_shape: Sequence[int],
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
        regularizers=recipe.regularizers,
        example_input=example_of(model, input_shape),
        batches=batches,
        keep=recipe.keep,
        seed=seed,
    )
    for done in range(1, rounds_before + 1):
        pruner.prune(1 - (1 - recipe.sparsity) ** (done / rounds_before))
    if prepare is not None:
        prepare(pruner)
    return pruner


def example_of(model: nn.Module, input_shape: Sequence[int]) -> torch.Tensor:
    """Returns an input of noise, (2, C, H, W), where the model is."""
    place = next(model.parameters()).device
    return torch.randn(EXAMPLES, *input_shape, generator=torch.Generator().manual_seed(0)).to(place)
