"""The network: C2f blocks, spatial pyramid pooling, a path up and down the scales, three heads without anchors."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Conv(nn.Module):
    """Convolution, norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        """Returns (N, outputs, H / stride, W / stride)."""
        return self.act(self.norm(self.conv(x)))


class Bottleneck(nn.Module):
    """Two convolutions, with a shortcut in the backbone."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.first = Conv(channels, channels, 3)
        self.second = Conv(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Returns maps of the same shape."""
        y = self.second(self.first(x))
        return x + y if self.shortcut else y


class C2f(nn.Module):
    """Cross stage partial: one half passes through the blocks, and what each of them makes is kept (2110.09625)."""

    def __init__(self, inputs: int, outputs: int, blocks: int = 1, shortcut: bool = False) -> None:
        super().__init__()
        hidden = outputs // 2
        self.enter = Conv(inputs, 2 * hidden)
        self.blocks = nn.ModuleList(Bottleneck(hidden, shortcut) for _ in range(blocks))
        self.leave = Conv((2 + blocks) * hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (N, outputs, H, W)."""
        parts = list(self.enter(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class SPPF(nn.Module):
    """Spatial pyramid pooling, each pooling over what the one before has pooled (1406.4729)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = Conv(channels, channels // 2)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.leave = Conv(channels // 2 * 4, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Returns maps of the same shape."""
        x = self.enter(x)
        y = self.pool(x)
        z = self.pool(y)
        return self.leave(torch.cat([x, y, z, self.pool(z)], 1))


class Head(nn.Module):
    """For each place of a map the distances to four sides, as `bins` logits each, and a logit for each class."""

    def __init__(self, inputs: int, width: int, bins: int, classes: int) -> None:
        super().__init__()
        self.box = nn.Sequential(Conv(inputs, width, 3), Conv(width, width, 3), nn.Conv2d(width, 4 * bins, 1))
        self.kind = nn.Sequential(Conv(inputs, width, 3), Conv(width, width, 3), nn.Conv2d(width, classes, 1))
        nn.init.constant_(self.kind[2].bias, -4.0)  # few places show anything

    def forward(self, x: Tensor) -> Tensor:
        """Returns (N, 4 * bins + classes, H, W)."""
        return torch.cat([self.box(x), self.kind(x)], 1)


class Yolo(nn.Module):
    """A detector for images (N, 3, H, W) whose sides are multiples of 32."""

    strides = (8, 16, 32)

    def __init__(self, classes: int = 3, width: int = 16, blocks: int = 1, bins: int = 8) -> None:
        super().__init__()
        self.classes, self.bins = classes, bins
        fine, middle, coarse = 4 * width, 6 * width, 8 * width
        self.stem = nn.Sequential(Conv(3, width, 3, 2), Conv(width, 2 * width, 3, 2))
        self.stage2 = C2f(2 * width, 2 * width, blocks, True)
        self.stage3 = nn.Sequential(Conv(2 * width, fine, 3, 2), C2f(fine, fine, blocks, True))
        self.stage4 = nn.Sequential(Conv(fine, middle, 3, 2), C2f(middle, middle, blocks, True))
        self.stage5 = nn.Sequential(Conv(middle, coarse, 3, 2), C2f(coarse, coarse, blocks, True), SPPF(coarse))
        self.up = nn.Upsample(scale_factor=2)
        self.up4, self.up3 = C2f(coarse + middle, middle, blocks), C2f(middle + fine, fine, blocks)
        self.down4, self.out4 = Conv(fine, fine, 3, 2), C2f(fine + middle, middle, blocks)
        self.down5, self.out5 = Conv(middle, middle, 3, 2), C2f(middle + coarse, coarse, blocks)
        self.heads = nn.ModuleList(Head(size, fine, bins, classes) for size in (fine, middle, coarse))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns three maps (N, 4 * bins + classes, H, W), at strides 8, 16 and 32."""
        third = self.stage3(self.stage2(self.stem(images)))
        fourth = self.stage4(third)
        fifth = self.stage5(fourth)
        fourth = self.up4(torch.cat([self.up(fifth), fourth], 1))
        third = self.up3(torch.cat([self.up(fourth), third], 1))
        fourth = self.out4(torch.cat([self.down4(third), fourth], 1))
        fifth = self.out5(torch.cat([self.down5(fourth), fifth], 1))
        return [head(x) for head, x in zip(self.heads, (third, fourth, fifth), strict=True)]
