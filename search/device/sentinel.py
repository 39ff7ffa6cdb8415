"""The sentinel: one fixed network that every measurement visits, to tell drift from architecture."""

from __future__ import annotations

import torch
from torch import nn

SENTINEL_NAME = "sentinel-1"  # change it with the network: profiles with another sentinel cannot be compared


class Sentinel(nn.Module):
    """Four convolutions, one of them depthwise, on an image of its own: (1, 16, 16, 16) to (1, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1, groups=32),
            nn.ReLU(),
            nn.Conv2d(32, 64, 1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1, stride=2),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns logits (N, 10)."""
        features: torch.Tensor = self.body(images).mean((2, 3))
        logits: torch.Tensor = self.head(features)
        return logits


def sentinel() -> tuple[nn.Module, torch.Tensor]:
    """Returns the sentinel in eval mode and its input; weights are constant, no generator is touched."""
    net = Sentinel().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(0.01)
    return net, torch.ones(1, 16, 16, 16)
