"""The supernet that most devices are tried with."""

from __future__ import annotations

import pytest
import torch

import ofa
from ofa.models.lenet import LeNet5


@pytest.fixture(scope="session")
def supernet() -> ofa.Supernet:
    """A LeNet-5 for images (1, 8, 8), as it is drawn with seed 0; nothing may change it."""
    torch.manual_seed(0)
    return ofa.Supernet(LeNet5((1, 8, 8), 10, (16, 32), (64, 32), True), torch.randn(2, 1, 8, 8))
