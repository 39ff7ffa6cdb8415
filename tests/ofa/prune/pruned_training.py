"""A small network, and its training under a pruner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.models import LeNet300
from ofa.prune import Pruner

SHAPE = (1, 8, 8)


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return LeNet300(SHAPE, 4, hidden=(24, 16))


def batches(count: int, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        images = torch.randn(16, *SHAPE, generator=generator)
        yield images, (images.mean(dim=(1, 2, 3)) * 8).long().clamp(-2, 1) + 2


def train(model: nn.Module, optimizer: torch.optim.Optimizer, pruner: Pruner, steps: int, seed: int = 0) -> None:
    for images, labels in batches(steps, seed):
        optimizer.zero_grad()
        (functional.cross_entropy(model(images), labels) + pruner.penalty()).backward()
        optimizer.step()
        pruner.step()


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "adamw": partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1),
    "rmsprop": partial(torch.optim.RMSprop, lr=1e-3, momentum=0.9),
}
