"""A small network of a user's, its data, and searches of it that take seconds."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

import ofa
from ofa.data import Dataset, digits
from ofa.data_file import load_data
from ofa.randomize import randomize_

PROFILE = {"anchors": 6, "blocks": 4, "visits": 4, "repeats": 2, "seconds": 2.0, "clock": "cpu", "alignment": False}
DEVICE: dict[str, Any] = {"name": "onnxruntime", "profile": PROFILE}
QUICK: dict[str, Any] = {
    "device": DEVICE,
    "finalists": {"seconds": 1.0, "visits": 4, "repeats": 2, "candidates": 2},
    "calibration_images": 64,
    "artifacts": False,
}
MET = {"latency_ms": 1000}  # a limit that everything meets


class Net(nn.Module):
    """Two convolutions and a classifier."""

    def __init__(self, width: int = 24, num_classes: int = 10, smooth: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.head = nn.Linear(2 * width, num_classes)
        self.activation = nn.SiLU() if smooth else nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N, classes)."""
        x = self.activation(self.norm(self.stem(images)))
        return self.head(self.activation(self.down(x)).mean((2, 3)))


def supernet(seed: int = 0, **arguments: Any) -> ofa.Supernet:
    """A supernet with random weights and norm statistics: what a search does is the same as of a trained one."""
    return copy.deepcopy(_supernet(seed, **arguments))


@cache
def _supernet(seed: int, **arguments: Any) -> ofa.Supernet:
    rules = ofa.SpaceRules(multiple_of=4, width_ratios=None)
    return ofa.Supernet(randomize_(Net(**arguments), seed).eval(), torch.zeros(2, 1, 8, 8), rules)


@cache
def data() -> Dataset:
    """The digits."""
    return digits()


def from_file(path: str) -> Dataset:
    """A user's function that reads what may change."""
    return load_data(path)
