"""What is pretrained and adapted: a network, its data and its trainings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import ofa
from ofa.data import Dataset, digits, generated_text, hub
from ofa.data.augment import compose, horizontal_flip, random_shift
from ofa.models import GPT, ResNet, ViT
from ofa.train import OptimizerBuilder, TrainSettings

SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
ADAMW = partial(torch.optim.AdamW, lr=3e-3, weight_decay=0.05, fused=True)


RANDOM_SUBNETS = 2  # of a step of the supernet, beside the largest and the smallest
OWN_EXAMPLES = {"batches_per_step": 2 + RANDOM_SUBNETS, "gradient_clip": 2.0}


@dataclass(frozen=True)
class Problem:
    """One network to pretrain and to adapt.

    Attributes:
        model: makes the network, its weights drawn from torch's global generator.
        dense: the training of the whole network from fresh weights.
        adapt: the supernet's training from the pretrained weights, each network of a step by examples of its own.
        finetune: of each subnet of the adapted supernet.
        alone: makes the optimizer of each subnet from the pretrained weights, else trained as in `finetune`.
        label_weight: share of the losses of the supernet's subnets against targets; the rest is distilled.
        tuned_label_weight: the same of subnets that are fine-tuned or trained alone.
    """

    name: str
    data: Dataset
    model: Callable[[], nn.Module]
    rules: ofa.SpaceRules
    dense: TrainSettings
    adapt: TrainSettings
    finetune: TrainSettings
    alone: OptimizerBuilder
    label_weight: float = 1.0
    tuned_label_weight: float = 0.5
    facts: dict[str, Any] = field(default_factory=dict)


def cifar(path: Path, *, images: int, size: int, epochs: int, adapt_epochs: int) -> Problem:
    """Returns ResNet-20 on CIFAR-10, or on part of it: `images` for training and validation, at `size` pixels."""
    data = hub(
        name="cifar10", path=str(path), image_column="img", label_column="label", image_size=size, limit_train=images
    )
    augment = partial(compose, steps=[partial(random_shift, pixels=size // 8), horizontal_flip])
    settings = {"batch_size": 64, "augment": augment, "gradient_clip": 5.0, "validate_every": 0}
    return Problem(
        "ResNet-20, CIFAR-10",
        data,
        lambda: ResNet((3, size, size), 10, depth=20),
        ofa.SpaceRules(width_ratios=(0.5, 0.75, 1.0), multiple_of=4),
        TrainSettings(optimizer=SGD, epochs=epochs, **settings),
        TrainSettings(optimizer=partial(SGD, lr=0.3), epochs=adapt_epochs, **settings | OWN_EXAMPLES),
        TrainSettings(optimizer=partial(SGD, lr=0.05), epochs=1, **settings),
        partial(SGD, lr=0.05),
        facts={"images": len(data.train), "pixels": size},
    )


def small_resnet(*, epochs: int = 100, adapt_epochs: int = 5) -> Problem:
    """Returns a small residual network on scikit-learn's digits."""
    settings = {"batch_size": 64, "augment": partial(random_shift, pixels=1), "gradient_clip": 5.0, "validate_every": 0}
    data = digits()
    return Problem(
        "ResNet-14, digits",
        data,
        lambda: ResNet((1, 8, 8), 10, depth=14, widths=(16, 32, 48)),
        ofa.SpaceRules(width_ratios=(0.5, 0.75, 1.0), multiple_of=4),
        TrainSettings(optimizer=partial(SGD, lr=0.05), epochs=epochs, **settings),
        TrainSettings(optimizer=partial(SGD, lr=0.1), epochs=adapt_epochs, **settings | OWN_EXAMPLES),
        TrainSettings(optimizer=partial(SGD, lr=0.025), epochs=1, **settings),
        partial(SGD, lr=0.05),
        facts={"images": len(data.train), "pixels": 8},
    )


def small_vit(*, epochs: int = 140, adapt_epochs: int = 8) -> Problem:
    """Returns a small vision transformer on scikit-learn's digits."""
    settings = {"batch_size": 32, "augment": partial(random_shift, pixels=1), "gradient_clip": 1.0, "validate_every": 0}
    data = digits()
    return Problem(
        "ViT, digits",
        data,
        lambda: ViT((1, 8, 8), 10, patch=2, width=64, depth=4, heads=4, head_size=16, hidden=128),
        ofa.SpaceRules(width_ratios=(0.5, 0.75, 1.0), multiple_of=8, min_depth=2),
        TrainSettings(optimizer=ADAMW, epochs=epochs, **settings),
        TrainSettings(
            optimizer=partial(ADAMW, lr=6e-3), epochs=adapt_epochs, layer_decay=0.9, **settings | OWN_EXAMPLES
        ),
        TrainSettings(optimizer=partial(ADAMW, lr=2e-3), epochs=2, layer_decay=0.9, **settings),
        partial(ADAMW, lr=4e-3),
        label_weight=0.3,
        tuned_label_weight=0.3,
        facts={"images": len(data.train), "pixels": 8},
    )


def small_gpt(*, epochs: int = 24, adapt_epochs: int = 2) -> Problem:
    """Returns a small GPT-2 on generated text: the next token of a Markov chain of order two."""
    data = generated_text(vocabulary=16, context=16, samples=16384, noise=0.2)
    settings = {"batch_size": 32, "gradient_clip": 1.0, "validate_every": 0}
    return Problem(
        "GPT, generated text",
        data,
        lambda: GPT((16,), 16, width=64, depth=4, heads=4, head_size=16, hidden=128),
        ofa.SpaceRules(width_ratios=(0.5, 0.75, 1.0), multiple_of=8, min_depth=2),
        TrainSettings(optimizer=ADAMW, epochs=epochs, **settings),
        TrainSettings(optimizer=partial(ADAMW, lr=0.012), epochs=adapt_epochs, **settings | OWN_EXAMPLES),
        TrainSettings(optimizer=partial(ADAMW, lr=3e-3), epochs=1, **settings),
        partial(ADAMW, lr=6e-3),
        label_weight=0.3,
        tuned_label_weight=0.3,
        facts={"texts": len(data.train), "tokens": 16},
    )
