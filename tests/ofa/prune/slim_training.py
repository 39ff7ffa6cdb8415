"""A network without biases, its data, and its training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import lr_scheduler


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(16, 12, generator=generator), torch.arange(16) % 4


def linear_net() -> nn.Sequential:
    """Without biases: Muon takes matrices alone."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 16, False), nn.ReLU(), nn.Linear(16, 8, False), nn.ReLU(), nn.Linear(8, 4, False))
    return net.double()


def train(net: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Any, steps: int, pruner: Any = None) -> None:
    images, labels = data()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(images.to(next(net.parameters()).dtype)), labels)
        loss.backward()
        optimizer.step()
        if pruner is not None:
            pruner.step()
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            scheduler.step(float(loss.detach()))
        elif scheduler is not None:
            scheduler.step()


def moved(net: nn.Module, before: nn.Module) -> float:
    pairs = zip(net.parameters(), before.parameters(), strict=True)
    return max(float((now - then).detach().abs().max()) for now, then in pairs)
