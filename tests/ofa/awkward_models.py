"""Models that are converted with layers that cannot vary, each for a reason of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class HardView(nn.Module):
    """A size written into a view."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.full = nn.Linear(8 * 36, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv2(torch.relu(self.conv1(x)))).view(-1, 288)
        return self.head(torch.relu(self.full(x)))


class Fourier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.conv3 = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(torch.fft.fft(self.conv2(self.conv1(x)), dim=1).real)


class Closure(nn.Module):
    """The forward reads a weight that is not found through the module tree."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.conv3 = nn.Conv2d(8, 8, 1)
        weight = self.conv1.weight
        self.penalty = lambda: weight.abs().sum()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(torch.relu(self.conv2(self.conv1(x) * (1 + 0 * self.penalty()))))


class WriteInto(nn.Module):
    """Channels are written into a part of a fresh tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 8, 3, padding=1)
        self.conv3 = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv1(x)
        wide = torch.zeros(x.shape[0], 16, *x.shape[2:], dtype=x.dtype)
        wide[:, :8] = features
        return self.conv3(torch.relu(self.conv2(wide)))


class Heads(nn.Module):
    """Attention whose head count is an attribute: narrowing would silently mix heads."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 16, 1)
        self.qkv = nn.Linear(16, 48)
        self.out = nn.Linear(16, 16)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.heads = 4

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x).flatten(2).transpose(1, 2)
        n, t, _ = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = ((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2).reshape(n, t, -1)
        x = x + self.out(mixed)
        return (x + self.mlp(x)).transpose(1, 2).unflatten(2, (6, 6))
