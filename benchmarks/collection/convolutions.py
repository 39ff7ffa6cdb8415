"""Convolutional networks, written by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.collection.convolution_blocks import (
    CondConv,
    ConvNeXtBlock,
    Ghost,
    NonLocal,
    PaddedShortcut,
    SelectiveKernel,
    ShuffleUnit,
    StandardizedConv,
    conv_norm,
)
from benchmarks.collection.entry import Entry, on_images


class Classifier(nn.Module):
    """A body on images, mean pooling, a linear layer."""

    def __init__(self, body: nn.Module, channels: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Returns logits (N, 10)."""
        return self.head(self.body(x).mean((2, 3)))


class Bottleneck(nn.Module):
    """The bottleneck of a ResNet with an optional squeeze-and-excitation."""

    def __init__(self, inputs: int, width: int, stride: int = 1, squeeze: bool = False, groups: int = 1) -> None:
        super().__init__()
        self.reduce, self.mix = conv_norm(inputs, width, 1), conv_norm(width, width, 3, stride, groups)
        self.expand = conv_norm(width, 4 * width, 1)
        self.gate = (
            nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(4 * width, width, 1), nn.ReLU(), nn.Conv2d(width, 4 * width, 1)
            )
            if squeeze
            else None
        )
        self.shortcut = conv_norm(inputs, 4 * width, 1, stride) if stride > 1 or inputs != 4 * width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Returns (N, 4 * width, ...)."""
        y = self.expand(F.relu(self.mix(F.relu(self.reduce(x)))))
        if self.gate is not None:
            y = y * torch.sigmoid(self.gate(y))
        return F.relu(y + self.shortcut(x))


def bottleneck_net(squeeze: bool = False, groups: int = 1) -> nn.Module:
    """Returns a small bottleneck ResNet, ResNeXt or SE-ResNet."""
    first = [Bottleneck(16, 8, 1, squeeze, groups), *(Bottleneck(32, 8, 1, squeeze, groups) for _ in range(2))]
    second = [Bottleneck(32, 16, 2, squeeze, groups), *(Bottleneck(64, 16, 1, squeeze, groups) for _ in range(2))]
    return Classifier(nn.Sequential(conv_norm(3, 16), nn.ReLU(), nn.Sequential(*first), nn.Sequential(*second)), 64)


class DenseNet(nn.Module):
    """Dense blocks: every layer sees all before it."""

    def __init__(self, growth: int = 8, layers: int = 5) -> None:
        super().__init__()
        self.stem, width = nn.Conv2d(3, 16, 3, padding=1), 16
        self.blocks, self.transitions = nn.ModuleList(), nn.ModuleList()
        for _ in range(2):
            self.blocks.append(
                nn.ModuleList(
                    nn.Sequential(nn.BatchNorm2d(width + i * growth), nn.ReLU(), nn.Conv2d(width + i * growth, 16, 1),
                                  nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, growth, 3, padding=1))
                    for i in range(layers)
                )
            )  # fmt: skip
            width += layers * growth
            self.transitions.append(nn.Conv2d(width, width // 2, 1))
            width //= 2
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Returns logits (N, 10)."""
        x = self.stem(x)
        for block, transition in zip(self.blocks, self.transitions, strict=True):
            features = [x]
            for layer in block:
                features.append(layer(torch.cat(features, 1)))
            x = F.avg_pool2d(transition(torch.cat(features, 1)), 2)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class UNet(nn.Module):
    """An encoder, a decoder and skips between them."""

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 64)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.GroupNorm(8, b), nn.SiLU(), nn.Conv2d(b, b, 3, padding=1))
            for a, b in zip((3, *widths), widths, strict=False)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in ((32, 64), (16, 32)))
        self.join = nn.ModuleList(nn.Conv2d(2 * a, a, 3, padding=1) for a in (32, 16))
        self.out = nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Returns class scores (N, 5, H, W)."""
        skips = []
        for number, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if number else x)
            skips.append(x)
        for up, join, skip in zip(self.up, self.join, reversed(skips[:-1]), strict=True):
            x = F.relu(join(torch.cat([up(x), skip], 1)))
        return self.out(x)


def body(*layers: nn.Module, width: int = 32) -> nn.Module:
    """Returns a classifier: a stem, these layers with activations between, a linear head."""
    between = [part for layer in layers for part in (layer, nn.ReLU())]
    return Classifier(nn.Sequential(conv_norm(3, width), nn.ReLU(), *between), width)


CONVOLUTIONS = tuple(
    on_images(name, "convolution", build)
    for name, build in {
        "bottleneck ResNet": bottleneck_net,
        "SE-ResNet": lambda: bottleneck_net(squeeze=True),
        "ResNeXt": lambda: bottleneck_net(groups=4),
        "ResNet option A": lambda: Classifier(
            nn.Sequential(conv_norm(3, 16), PaddedShortcut(16, 16), PaddedShortcut(16, 32), PaddedShortcut(32, 32)), 32
        ),
        "DenseNet": DenseNet,
        "U-Net": UNet,
        "GhostNet": lambda: Classifier(
            nn.Sequential(conv_norm(3, 16), Ghost(16, 32), Ghost(32, 32), Ghost(32, 64)), 64
        ),
        "ShuffleNetV2": lambda: body(ShuffleUnit(32), ShuffleUnit(32), ShuffleUnit(32)),
        "CondConv": lambda: body(CondConv(32, 32), CondConv(32, 32)),
        "SKNet": lambda: body(SelectiveKernel(32), SelectiveKernel(32)),
        "non-local": lambda: body(nn.Conv2d(32, 32, 3, padding=1), NonLocal(32), nn.Conv2d(32, 32, 3, padding=1)),
        "ConvNeXt V2": lambda: body(ConvNeXtBlock(32), ConvNeXtBlock(32)),
        "weight standardization": lambda: body(
            StandardizedConv(32, 32, 3, padding=1), nn.GroupNorm(8, 32), StandardizedConv(32, 32, 3, padding=1)
        ),
    }.items()
)  # fmt: skip


def entries() -> tuple[Entry, ...]:
    """Returns the convolutional networks."""
    return CONVOLUTIONS
