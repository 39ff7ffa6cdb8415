"""Convolutional networks, written by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.collection.entry import Entry, on_images


def conv_norm(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Returns a convolution of the same padding and a batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


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
