"""A small U-Net: a class for every pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput
from ofa.models.resnet import ResidualBlock
from ofa.models.sizes import check_positive, check_shape, initialize_


class UNet(nn.Module):
    """Down to coarse maps and up again beside the fine ones: images (N, C, H, W) to logits (N, num_classes, H, W).

    Each level has half the height and width of the one before. What comes up is resized, joined with the maps of its
    level, and mixed by residual blocks.
    Source: Ronneberger et al. 2015, 1505.04597, with residual blocks, padding and norm layers.

    Args:
        input_shape: (C, H, W) of images.
        num_classes: of a pixel, the background among them.
        widths: channels of the levels, the finest first; two or more.
        blocks: residual blocks on each level, on the way down and on the way up.

    Raises:
        InvalidInput: a size that is not a whole number above 0, fewer than two levels, or images that are too small
            for them.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 64, 64),
        num_classes: int = 4,
        widths: Sequence[int] = (16, 32, 64),
        blocks: int = 1,
    ) -> None:
        super().__init__()
        check_positive("UNet", num_classes=num_classes, widths=widths, blocks=blocks)
        if len(widths) < 2:
            raise InvalidInput(f"UNet widths={tuple(widths)}: give two or more, one for each level")
        channels, _, _ = check_shape("UNet", input_shape, least=2 ** (len(widths) - 1))
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        inputs = channels
        for level, width in enumerate(widths):
            self.down.append(_row(inputs, width, blocks, stride=1 if level == 0 else 2))
            inputs = width
        for width in reversed(widths[:-1]):
            self.up.append(_row(inputs + width, width, blocks, stride=1))
            inputs = width
        self.classifier = nn.Conv2d(inputs, num_classes, 1)
        initialize_(self)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N, num_classes, H, W)."""
        maps, levels = images, []
        for blocks in self.down:
            maps = blocks(maps)
            levels.append(maps)
        for blocks, beside in zip(self.up, reversed(levels[:-1]), strict=True):
            maps = functional.interpolate(maps, size=beside.shape[2:], mode="nearest")
            maps = blocks(torch.cat([maps, beside], 1))
        logits: Tensor = self.classifier(maps)
        return logits


def _row(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    """Blocks of which the first changes the number of channels, and of pixels."""
    first = ResidualBlock(inputs, outputs, stride, "conv")
    return nn.Sequential(first, *(ResidualBlock(outputs, outputs, 1, "conv") for _ in range(blocks - 1)))
