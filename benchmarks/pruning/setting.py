"""What all experiments share: MNIST, nets with seeded weights, and the trainings that make them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ofa._evaluate import evaluate
from ofa.data import Dataset, hub
from ofa.models import LeNet5Caffe, LeNet300
from ofa.train import NetworkTraining, TrainSettings, train_network
from ofa.train.schedules import cosine

DENSE_EPOCHS = {"lenet300": 40, "lenet5": 8}
BATCH_SIZE = 128


def mnist(path: str) -> Dataset:
    """Returns MNIST without augmentation, all but 600 of its training images to train on."""
    return hub(path=path, name="mnist", validation_fraction=0.01)


def make_net(model: str, seed: int) -> nn.Module:
    """Returns "lenet300" or "lenet5" with weights by the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # Channels last is twice as fast here on CPUs and changes no result but by rounding.
        return LeNet300() if model == "lenet300" else LeNet5Caffe().to(memory_format=torch.channels_last)


def adamw(learning_rate: float = 1e-3, weight_decay: float = 1e-4) -> Callable[..., torch.optim.Optimizer]:
    """Returns what makes the optimizer of a training."""
    return partial(torch.optim.AdamW, lr=learning_rate, weight_decay=weight_decay, fused=True)


def terms(epochs: int, seed: int) -> TrainSettings:
    """Returns the settings of a training on the benchmark's terms."""
    return TrainSettings(
        optimizer=adamw(),
        schedule=partial(cosine, warmup=0.1),
        epochs=epochs,
        batch_size=BATCH_SIZE,
        seed=seed,
        validate_every=0,
    )


def fit(net: nn.Module, data: Dataset, settings: TrainSettings, **options: Any) -> NetworkTraining:
    """Trains `net` in place; returns the outcome. `options` are those of `train_network`."""
    return train_network(net, data, settings, **options)


def error(net: nn.Module, data: Dataset) -> float:
    """Returns the test error in percent."""
    return round(100 * (1 - evaluate(net, data.test.images, data.test.labels)), 2)


class Ensemble(nn.Module):
    """The mean of several nets' logits."""

    def __init__(self, nets: Sequence[nn.Module]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns logits (N, classes)."""
        return torch.stack([net(images) for net in self.nets]).mean(dim=0)


def dense_net(model: str, data: Dataset, seed: int, folder: Path) -> nn.Module:
    """Returns the trained dense net of a seed, kept in `folder` for every experiment that starts from it."""
    net = make_net(model, seed)
    file = folder / f"dense_{model}_{seed}.pt"
    if file.exists():
        net.load_state_dict(torch.load(file, weights_only=True))
    else:
        fit(net, data, terms(DENSE_EPOCHS[model], seed))
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(net.state_dict(), file)
    return net
