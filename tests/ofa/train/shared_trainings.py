"""Trainings that one process or several take, and what comes of them: small networks in double precision."""

from __future__ import annotations

import copy
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from ofa import SpaceRules, Supernet
from ofa.data import Dataset, synthetic
from ofa.data.augment import random_shift
from ofa.models import MLP, ResNet, ViT
from ofa.prune import Pruner
from ofa.prune.schedules import Cubic
from ofa.train import TrainSettings, sandwich, train, train_network
from tests.ofa.ranks import on_ranks

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
QUICK: dict[str, Any] = {
    "optimizer": SGD,
    "epochs": 2,
    "batch_size": 30,
    "augment": partial(random_shift, pixels=1),
    "gradient_clip": 1.0,
    "validate_every": 1,
    "calibration_images": 32,
}
EXACT = 1e-12  # sums in another order


class InDoublePrecision(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.double()

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images.double())


class FrozenNorm(nn.BatchNorm2d):
    """A batch norm whose statistics stay as they are, of maps or of features."""

    def train(self, mode: bool = True) -> FrozenNorm:
        super().train(False)
        return self

    def _check_input_dim(self, input: Tensor) -> None:
        pass


def with_frozen_norms(net: nn.Module) -> nn.Module:
    for name, child in list(net.named_children()):
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(net, name, FrozenNorm(child.num_features))
        else:
            with_frozen_norms(child)
    return net


class Small(nn.Module):
    """Two convolutions with norms, dropout where it is asked for, and a part that is never used."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(8 * 16, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.norm1(self.conv1(images)))
        maps = torch.relu(self.norm2(self.conv2(maps)))
        return self.head(self.dropout(maps.flatten(1)))


NETWORKS = {
    "small": Small,
    "small with dropout": partial(Small, 0.2),
    "resnet": lambda: ResNet((1, 8, 8), 4, depth=20, widths=(8, 16, 16)),
    "vit": lambda: ViT((1, 8, 8), 4, patch=4, width=16, depth=2, heads=2),
    "mlp": lambda: MLP((1, 8, 8), 4, width=16, hidden=24, depth=2),
}


@cache
def data() -> Dataset:
    return synthetic(image_size=8, num_classes=4, samples=200)


@cache
def network(name: str, frozen: bool = True) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = NETWORKS[name]()
    return InDoublePrecision(with_frozen_norms(net) if frozen else net)


@cache
def supernet(name: str, frozen: bool = True) -> Supernet:
    rules = SpaceRules(width_ratios=(0.5, 1.0), multiple_of=2, kernel_sizes={"*": (1, 3)} if "small" in name else {})
    return Supernet(network(name, frozen), torch.zeros(2, 1, 8, 8), rules)


def trained(rank: int, name: str = "small", *, frozen: bool = True, **changes: Any) -> dict[str, Any]:
    """The weights after a training of a supernet, and the rows of its history."""
    net = copy.deepcopy(supernet(name, frozen))
    checkpoint, callbacks = changes.pop("checkpoint", None), changes.pop("callbacks", ())
    strategy = changes.pop("strategy", sandwich)
    settings = TrainSettings(**QUICK | changes)
    history = train(net, data(), strategy, settings, checkpoint=checkpoint, callbacks=callbacks)
    return outcome(net.model, history)


def outcome(model: nn.Module, history: list[dict[str, Any]]) -> dict[str, Any]:
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in history]
    return {"weights": dict(model.state_dict()), "rows": rows}


def pruned(rank: int, name: str = "small", **changes: Any) -> dict[str, Any]:
    """The weights and masks after a training under a pruner."""
    net = copy.deepcopy(network(name))
    parts = changes.pop("pruning", {})
    distillation = changes.pop("distillation", None)

    def prune(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, batches: Any) -> Pruner:
        given = {"schedule": Cubic(0.8, begin=0, end=steps, every=2), "batches": batches} | parts
        return Pruner(model, optimizer, example_input=torch.zeros(2, 1, 8, 8), **given)

    settings = TrainSettings(**QUICK | changes)
    found = train_network(net, data(), settings, prune=prune, distillation=distillation)
    assert found.pruner is not None
    return outcome(net, found.history) | {"masks": found.pruner.masks}


def together(count: int, name: str = "small", **changes: Any) -> list[dict[str, Any]]:
    """What `trained` gives on each rank; the supernet is made once, before processes are forked."""
    supernet(name, changes.get("frozen", True))
    return on_ranks(count, partial(trained, name=name, **changes))


def apart(first: dict[str, Any], second: dict[str, Any]) -> float:
    pairs = zip(first["weights"].values(), second["weights"].values(), strict=True)
    return max(float((one.double() - other.double()).abs().max()) for one, other in pairs)


def same_everywhere(results: list[dict[str, Any]]) -> bool:
    return all(apart(results[0], other) == 0 and results[0]["rows"] == other["rows"] for other in results[1:])
