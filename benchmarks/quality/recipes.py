"""What is tried: each recipe of a supernet's training as overrides of `ofa train`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Recipe: TypeAlias = Mapping[str, Any]

# As shipped before this benchmark; every other recipe changes some of these.
FORMER: Recipe = {
    "train.optimizer.lr": 0.05,
    "train.schedule.warmup": 0.05,
    "train.strategy.label_weight": 0.5,
    "train.strategy.random_subnets": 2,
    "train.gradient_clip": 5.0,
    "train.gradients": None,
    "train.batches_per_step": 1,
    "train.rate_without_norms": 1.0,
}
BEST_OF_SINGLE_CHANGES: Recipe = {**FORMER, "train.optimizer.lr": 0.1, "train.strategy.label_weight": 1.0}

BY_SKILL = "{_target_: ofa.train.label_weights.by_skill, _partial_: true, start: 1.0, end: 0.5}"
BY_PROGRESS = "{_target_: ofa.train.label_weights.by_progress, _partial_: true, start: 1.0, end: 0.3}"

# Gradients by use as a mean over the networks that have a weight, four in a step: a quarter of the rate by four times
# the gradient, of which as much is clipped, and as much decay.
BY_USE: Recipe = {"train.gradients": "by_use", "train.optimizer.weight_decay": 2e-3, "train.gradient_clip": 20.0}
MEAN: Recipe = {**BEST_OF_SINGLE_CHANGES, **BY_USE, "train.optimizer.lr": 0.05}

# Examples of its own for each network, clipped and warmed up as before.
EARLIER_CLIP: Recipe = {"train.schedule.warmup": 0.05, "train.gradient_clip": 5.0}

RECIPES: dict[str, Recipe] = {
    "default": {},
    "own_0.1": {**EARLIER_CLIP, "train.optimizer.lr": 0.1},
    "own_0.2": {**EARLIER_CLIP, "train.optimizer.lr": 0.2},
    "own_0.3": {**EARLIER_CLIP},
    "nine_epochs": {"train.epochs": 9},  # of 12, as long as networks alone that are as good
    "one_random": {"train.strategy.random_subnets": 1},
    "rate_as_given": {"train.rate_without_norms": 1.0},
    "clip_1": {"train.schedule.warmup": 0.05, "train.gradient_clip": 1.0},
    "adamw_former": {
        "train.optimizer.lr": 0.003,
        "train.batches_per_step": 1,
        "train.gradients": None,
        "train.strategy.label_weight": 0.5,
    },
    "adamw_0.003": {"train.optimizer.lr": 0.003},
    "same_examples": {
        **EARLIER_CLIP,
        "train.optimizer.lr": 0.1,
        "train.batches_per_step": 1,
        "train.rate_without_norms": 1.0,
    },
    "former": FORMER,
    "labels": BEST_OF_SINGLE_CHANGES,
    "mean_0.2": MEAN,
    "mean_0.3": {**MEAN, "train.optimizer.lr": 0.075},
    "mean_0.4": {**MEAN, "train.optimizer.lr": 0.1},
    "mean_skill": {**MEAN, "train.strategy.label_weight": BY_SKILL},
    "mean_three": {
        **MEAN,
        "train.strategy.random_subnets": 3,
        "train.optimizer.lr": 0.04,
        "train.optimizer.weight_decay": 2.5e-3,
        "train.gradient_clip": 25.0,
    },
    "rate_0.2": {**BEST_OF_SINGLE_CHANGES, "train.optimizer.lr": 0.2},
    "three_random": {**BEST_OF_SINGLE_CHANGES, "train.strategy.random_subnets": 3},
    "rate_0.15": {**BEST_OF_SINGLE_CHANGES, "train.optimizer.lr": 0.15},
    "progress": {**BEST_OF_SINGLE_CHANGES, "train.strategy.label_weight": BY_PROGRESS},
    "skill": {**BEST_OF_SINGLE_CHANGES, "train.strategy.label_weight": BY_SKILL},
    "skill_one_random": {
        **BEST_OF_SINGLE_CHANGES,
        "train.strategy.label_weight": BY_SKILL,
        "train.strategy.random_subnets": 1,
    },
    "skill_warm_start": {
        **BEST_OF_SINGLE_CHANGES,
        "train.strategy.label_weight": BY_SKILL,
        "train.warm_start": 0.2,
    },
}


def as_overrides(recipe: Recipe) -> tuple[str, ...]:
    """Returns a recipe's overrides as Hydra takes them; keys that a configuration lacks are added to it."""
    return tuple(f"++{key}={'null' if value is None else value}" for key, value in recipe.items())
