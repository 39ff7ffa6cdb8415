"""A supernet and data that a step takes a millisecond on."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.arch import Arch
from ofa.data import Dataset, synthetic
from ofa.space import Choice, Space


class SmallNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(64, 4)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.norm(self.conv(images)))
        return self.head(self.dropout(functional.adaptive_avg_pool2d(hidden, 2).flatten(1)))


class FakeSupernet:
    def __init__(self, model: SmallNet) -> None:
        self.model = model
        self.space = Space((Choice("width", "conv", (8, 16)),))

    def subnet(self, arch: Arch, accumulate: bool = False) -> nn.Module:
        width = arch.width["conv"]
        view = deepcopy(self.model)

        def part(own: nn.Module, name: str, rows: tuple) -> nn.Parameter:
            full = getattr(own, name)
            leaf = nn.Parameter(full.detach()[rows])
            if accumulate:
                leaf.grad = full.grad[rows]
            return leaf

        rows = (slice(width),)
        view.conv.weight = part(self.model.conv, "weight", rows)
        view.norm = nn.BatchNorm2d(width).train(self.model.training)
        view.norm.weight = part(self.model.norm, "weight", rows)
        view.norm.bias = part(self.model.norm, "bias", rows)
        view.head.weight = part(self.model.head, "weight", (slice(None), slice(4 * width)))
        view.head.bias = part(self.model.head, "bias", (slice(None),))
        return view


@pytest.fixture
def make_supernet():
    def make(seed: int = 0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return FakeSupernet(SmallNet())

    return make


@pytest.fixture(scope="session")
def data() -> Dataset:
    return synthetic(image_size=8, num_classes=4, samples=200, seed=0)
