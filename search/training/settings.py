"""What a training's configuration makes: the settings of any network's, and the strategy of a supernet's steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from ofa.errors import InvalidInput
from ofa.norms import NORMS
from ofa.train import OptimizerBuilder, Strategy, TrainSettings
from ofa.train.average_teacher import taught_by_average
from ofa.train.by_use import scaled_by_use
from ofa.train.gradients import combined
from ofa.train.precision import computes_in_bfloat16
from ofa.train.rate_test import is_auto
from ofa.train.sampling import sampled
from ofa.train.settings import check_device
from ofa.train.warm_start import warm_start
from search.config.read import converted, group_option
from search.config.request import plain
from search.config.rules import AUTO, Target
from search.config.training import Finetuning, SupernetTraining, Training, is_average
from search.objects import make_partial
from search.run.progress import say

UNKNOWN_TRAINING = "sandwich_adamw"  # of conf/train, for supernets that were trained in a loop of one's own

# The keys of a Training that go into its settings unchanged.
SCALARS = tuple(name for name in Training.__struct_fields__ if name not in ("optimizer", "schedule"))

_SANDWICH = "ofa.train.strategies.sandwich"
_TARGETS_ALONE = "ofa.train.label_weights.with_teacher"  # where there is no teacher


def train_settings(training: Training, augment: Target | None, seed: int, group: str = "train") -> TrainSettings:
    """Returns the settings of a training, with optimizer, schedule and augmentation instantiated.

    Args:
        group: the group of the configuration, for messages.

    Raises:
        InvalidInput: an optimizer, a schedule or an augmentation that does not take its arguments.
    """
    optimizer = make_partial(f"{group}.optimizer", training.optimizer)
    if is_auto(optimizer) and group != "train":
        raise InvalidInput(f"{group}.optimizer.lr='auto' is found for supernets (train.optimizer.lr): give a number")
    try_optimizer(partial(optimizer, lr=1.0) if is_auto(optimizer) else optimizer, f"{group}.optimizer")
    return TrainSettings(
        optimizer=optimizer,
        schedule=make_partial(f"{group}.schedule", training.schedule),
        augment=make_partial("data.augment", augment) if augment else None,
        seed=seed,
        **plain(training, *SCALARS),
    )


def step_batches(training: SupernetTraining, teacher: Target | None) -> int:
    """Returns how many batches a step of a supernet's training reads.

    "auto" is one for each network of a sandwich, so that each learns from examples of its own; and one in all where
    they learn from the largest of the same step, which has to see the same examples, or by another strategy.
    """
    if training.batches_per_step != AUTO:
        return training.batches_per_step
    strategy = training.strategy
    weight = strategy.get("label_weight", 0.0)
    if strategy.get("_target_") != _SANDWICH or strategy.get("features"):
        return 1
    by_targets = weight == 1 or (isinstance(weight, Mapping) and weight.get("_target_") == _TARGETS_ALONE)
    return 2 + int(strategy.get("random_subnets", 2)) if teacher or by_targets else 1


def with_rate_of(model: nn.Module, settings: TrainSettings, factor: float) -> TrainSettings:
    """Returns the settings with the learning rate that suits a network: the very same where it is as given.

    Without normalization layers a network bears a lower one: its outputs grow with its weights.

    Args:
        factor: on the rate of such a network; a rate that is found counts as it is.
    """
    build = settings.optimizer
    rate = build.keywords.get("lr") if isinstance(build, partial) else None
    if factor == 1 or not isinstance(rate, int | float) or any(isinstance(module, NORMS) for module in model.modules()):
        return settings
    arguments: dict[str, Any] = {"lr": factor * rate}
    return replace(settings, optimizer=partial(build, **arguments))


def supernet_settings(model: nn.Module, config: Mapping[str, Any], seed: int) -> TrainSettings:
    """Returns the settings with which a supernet's model was trained, which a fine-tuning of its subnets departs from.

    Where they are not known, they are those of AdamW, which moves networks of any kind.

    Args:
        config: of the run.
    """
    training = converted(config["train"] or group_option("train", UNKNOWN_TRAINING), SupernetTraining, "train")
    return with_rate_of(
        model, train_settings(training, config["data"].get("augment"), seed), training.rate_without_norms
    )


def check_computing(verb: str, group: str, training: Training | Finetuning) -> None:
    """Checks what a training is to compute with, and prints a line where that takes long.

    Args:
        verb: that prints it.
        group: of the configuration, for messages.
        training: what it holds.

    Raises:
        InvalidInput: a device that is not there.
    """
    check_device(training.device, f"{group}.device")
    if torch.device(training.device).type != "cpu":
        return
    if training.precision == "float16":
        say(f"{verb}: warning: {group}.precision=float16 is for GPUs, and a CPU takes longer with it: give float32")
    if training.precision == "bfloat16" and computes_in_bfloat16() is False:
        say(
            f"{verb}: warning: {group}.precision=bfloat16 is for processors with instructions for it (AVX512-BF16, AMX "
            "or BF16 of ARM), and this one takes longer with it: give float32"
        )


def try_optimizer(build: OptimizerBuilder, name: str) -> None:
    """Tries an optimizer on a dummy parameter, so that a wrong setting fails here and not during the training.

    Raises:
        InvalidInput: with the optimizer's own message.
    """
    try:
        build([{"params": [torch.nn.Parameter(torch.zeros(1))]}])
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"{name}: {error}") from None


def build_strategy(training: SupernetTraining, teacher: Target | None = None) -> Strategy:
    """Returns the strategy of a training with its teacher, warm start, sampling and gradients.

    Raises:
        InvalidInput: a part that does not take its arguments.
    """
    strategy: Strategy = make_partial("train.strategy", training.strategy)
    if is_average(teacher):
        strategy = partial(taught_by_average, strategy=strategy)
    if training.warm_start is not None:
        strategy = partial(warm_start, strategy=strategy, fraction=training.warm_start)
    if training.sampling is not None:
        strategy = partial(sampled, strategy=strategy, draw=make_partial("train.sampling", training.sampling))
    if training.gradients == "by_use":
        strategy = partial(scaled_by_use, strategy=strategy)
    elif training.gradients is not None:
        combine = make_partial("train.gradients", training.gradients)
        strategy = partial(combined, strategy=strategy, combine=combine)
    return strategy
