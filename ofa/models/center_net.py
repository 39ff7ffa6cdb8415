"""A small detector without anchors: for every place what is centered there, and how far its sides are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput
from ofa.models.center_loss import center_boxes, center_loss
from ofa.models.resnet import ResidualBlock
from ofa.models.sizes import check_positive, check_shape, initialize_

RARE = -4.0  # logit of a class before training: few places are centers


class CenterNet(nn.Module):
    """One map of a quarter of the height and width: images (N, C, H, W) to (N, num_classes + 4, H / 4, W / 4).

    The first channels are logits of the classes, the last four say where the left, top, right and bottom sides of a
    box lie that is centered in this place: the distances in pixels are 4 * softplus of them. Its own `loss` and
    `decode` are what task=detection asks a network for.
    Source: Zhou et al. 2019, "Objects as points", 1904.07850; distances to sides as in Tian et al. 2019, 1904.01355.

    Args:
        input_shape: (C, H, W) of images; H and W are multiples of 16.
        num_classes: of boxes.
        widths: channels at a half, a quarter, an eighth and a sixteenth of the height and width.
        blocks: residual blocks at each of them.

    Raises:
        InvalidInput: a size that is not a whole number above 0, or images of another size.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 64, 64),
        num_classes: int = 3,
        widths: Sequence[int] = (16, 32, 48, 64),
        blocks: int = 1,
    ) -> None:
        super().__init__()
        channels, height, width = check_shape("CenterNet", input_shape)
        check_positive("CenterNet", num_classes=num_classes, widths=widths, blocks=blocks)
        if height % 16 or width % 16:
            raise InvalidInput(f"CenterNet input_shape={tuple(input_shape)}: height and width must be multiples of 16")
        if len(widths) != 4:
            raise InvalidInput(f"CenterNet widths={tuple(widths)}: give four")
        self.num_classes = num_classes
        sizes = (channels, *widths)
        self.down = nn.ModuleList(
            nn.Sequential(
                ResidualBlock(inputs, outputs, 2, "conv"),
                *(ResidualBlock(outputs, outputs, 1, "conv") for _ in range(blocks)),
            )
            for inputs, outputs in pairwise(sizes)
        )
        _, fine, middle, coarse = widths
        self.join = nn.ModuleList(
            [ResidualBlock(coarse + middle, middle, 1, "conv"), ResidualBlock(middle + fine, fine, 1, "conv")]
        )
        self.kinds = _branch(fine, num_classes)
        self.sides = _branch(fine, 4)
        initialize_(self)
        for branch, start in ((self.kinds, RARE), (self.sides, 2.0)):
            last = branch[-1]
            assert isinstance(last, nn.Conv2d) and last.bias is not None
            nn.init.normal_(last.weight, std=0.01)
            nn.init.constant_(last.bias, start)

    def forward(self, images: Tensor) -> Tensor:
        """Returns (N, num_classes + 4, H / 4, W / 4)."""
        _, fine, middle, maps = self._levels(images)
        for joined, beside in zip(self.join, (middle, fine), strict=True):
            maps = joined(torch.cat([functional.interpolate(maps, scale_factor=2.0), beside], 1))
        return torch.cat([self.kinds(maps), self.sides(maps)], 1)

    def loss(self, outputs: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Returns `center_loss`: what a task of detection asks a network for."""
        return center_loss(outputs, targets)

    def decode(self, outputs: Tensor) -> list[dict[str, Tensor]]:
        """Returns `center_boxes`: what a task of detection asks a network for."""
        return center_boxes(outputs)

    def _levels(self, images: Tensor) -> list[Tensor]:
        levels, maps = [], images
        for blocks in self.down:
            maps = blocks(maps)
            levels.append(maps)
        return levels


def _branch(channels: int, outputs: int) -> nn.Sequential:
    """A convolution, its norm, and another convolution."""
    first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    return nn.Sequential(first, nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, outputs, 1))
