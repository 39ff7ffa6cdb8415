"""A supernet and data that a step takes a millisecond on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa import SpaceRules, Supernet
from ofa.data import Dataset, synthetic


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, maps: Tensor) -> Tensor:
        return maps + functional.relu(self.norm(self.conv(maps)))


class SmallNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(Block(), Block())
        self.dropout = nn.Dropout(0.2)
        self.hidden = nn.Linear(32, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.blocks(functional.relu(self.norm(self.conv(images))))
        features = functional.adaptive_avg_pool2d(maps, 2).flatten(1)
        return self.head(self.dropout(functional.relu(self.hidden(features))))


@pytest.fixture
def make_supernet() -> Callable[..., Supernet]:
    """Makes supernets, the same for the same seed."""

    return lambda seed=0: copy.deepcopy(_supernet(seed))


@cache
def _supernet(seed: int) -> Supernet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SmallNet()
    rules = SpaceRules(width_ratios=(0.5, 1.0), multiple_of=4, kernel_sizes={"blocks.*": (1, 3)})
    return Supernet(model, torch.zeros(2, 1, 8, 8), rules)


@pytest.fixture(scope="session")
def data() -> Dataset:
    """Images that take a few epochs to learn."""
    return synthetic(image_size=8, num_classes=4, samples=200, seed=0)
