"""Blocks of convolutional networks, written by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_norm(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Returns a convolution of the same padding and a batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Ghost(nn.Module):
    """A ghost module: half of the channels are made from the other half by a cheap convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.primary, self.outputs = conv_norm(inputs, outputs // 2, 1), outputs
        self.cheap = conv_norm(outputs // 2, outputs // 2, 3, groups=outputs // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (N, outputs, H, W)."""
        made = F.relu(self.primary(x))
        return torch.cat([made, F.relu(self.cheap(made))], 1)[:, : self.outputs]


class ShuffleUnit(nn.Module):
    """A ShuffleNetV2 unit: half of the channels pass, half are convolved, then both are shuffled."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.branch = nn.Sequential(
            conv_norm(half, half, 1),
            nn.ReLU(),
            conv_norm(half, half, 3, groups=half),
            conv_norm(half, half, 1),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of x's shape."""
        left, right = x.chunk(2, dim=1)
        x = torch.cat([left, self.branch(right)], 1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class CondConv(nn.Module):
    """A convolution whose kernel is mixed from several experts, example by example."""

    def __init__(self, inputs: int, outputs: int, experts: int = 4) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(experts, outputs, inputs, 3, 3) / (9 * inputs) ** 0.5)
        self.route = nn.Linear(inputs, experts)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (N, outputs, H, W)."""
        mix = torch.sigmoid(self.route(x.mean((2, 3))))
        kernels = torch.einsum("be,eoihw->boihw", mix, self.weight)
        n, c, h, w = x.shape
        y = F.conv2d(x.reshape(1, n * c, h, w), kernels.flatten(0, 1), padding=1, groups=n)
        return y.view(n, -1, h, w)


class SelectiveKernel(nn.Module):
    """Two branches of different receptive fields, mixed by an attention over the branches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in (1, 2))
        self.squeeze, self.attend = nn.Linear(width, 16), nn.Linear(16, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of x's shape."""
        features = torch.stack([branch(x) for branch in self.branches], 1)
        weights = self.attend(F.relu(self.squeeze(features.sum(1).mean((2, 3)))))
        weights = weights.view(x.shape[0], 2, -1, 1, 1).softmax(1)
        return (features * weights).sum(1)


class NonLocal(nn.Module):
    """A non-local block: attention over positions by two products of activations."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv2d(width, width // 2, 1) for _ in range(3))
        self.out = nn.Conv2d(width // 2, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of x's shape."""
        q, k, v = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        mixed = v @ (q.transpose(1, 2) @ k).softmax(-1).transpose(1, 2)
        return x + self.out(mixed.unflatten(2, x.shape[2:]))


class ConvNeXtBlock(nn.Module):
    """A ConvNeXt V2 block: depthwise 7x7, layer norm, global response norm, layer scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm, self.grow, self.shrink = (
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.Linear(4 * width, width),
        )
        self.gamma, self.beta = nn.Parameter(torch.zeros(4 * width)), nn.Parameter(torch.zeros(4 * width))
        self.scale = nn.Parameter(1e-6 * torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of x's shape."""
        y = F.gelu(self.grow(self.norm(self.spatial(x).permute(0, 2, 3, 1))))
        size = y.norm(dim=(1, 2), keepdim=True)
        y = y + self.gamma * (y * (size / (size.mean(-1, keepdim=True) + 1e-6))) + self.beta
        return x + (self.scale * self.shrink(y)).permute(0, 3, 1, 2)


class PaddedShortcut(nn.Module):
    """A ResNet block of option A: the shortcut is strided and padded with zero channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = conv_norm(inputs, outputs, 3, outputs // inputs), conv_norm(outputs, outputs)
        self.pad = (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Returns (N, outputs, ...)."""
        y = self.second(F.relu(self.first(x)))
        if self.pad:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(x + y)


class StandardizedConv(nn.Conv2d):
    """A convolution whose weight is standardized over its inputs."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns the convolution with the standardized weight."""
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)
