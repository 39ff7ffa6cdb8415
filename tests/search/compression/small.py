"""A small network on a few images, and what stages are given for it."""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from ofa.data import synthetic
from ofa.models import LeNet5
from ofa.randomize import randomize_
from ofa.task import classification
from ofa.train import TrainSettings
from search.compression.compressed import Compressed, StageContext

DATA = synthetic(image_size=8, num_classes=4, samples=160, noise=0.15)


def network(seed: int = 0) -> LeNet5:
    """Returns a network of convolutions, batch norms and linear layers, its norm statistics random."""
    torch.manual_seed(seed)
    net = LeNet5((1, 8, 8), 4, channels=(8, 12), hidden=(20, 12), batch_norm=True)
    return randomize_(net, seed).eval()


def begin(seed: int = 0) -> Compressed:
    """Returns it as it is before the first stage."""
    return Compressed(network(seed), {})


def context(folder: Path, *, epochs: int = 1, distill: float = 0.0) -> StageContext:
    """Returns what its stages share."""
    training = TrainSettings(
        optimizer=functools.partial(torch.optim.SGD, lr=0.02, momentum=0.9, weight_decay=1e-3),
        epochs=epochs,
        batch_size=16,
        validate_every=0,
        checkpoint_steps=1,
    )
    return StageContext(
        data=DATA,
        task=classification(DATA),
        training=training,
        teacher=network() if distill else None,
        distill=distill,
        temperature=None,
        checkpoint=folder / "checkpoint.safetensors",
        show=lambda step: None,
    )
