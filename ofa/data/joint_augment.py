"""Augmentation that moves masks and boxes with their images: functions of (images, targets, CPU generator) to both.

Images are (N, C, H, W) in [0, 1]. Of targets these are moved, and others left as they are:

    a tensor whose last two sizes are H and W            a mask: of classes (N, H, W), or several (N, K, H, W)
    a dictionary with "boxes" (N, M, 4), "labels" (N, M) left, top, right, bottom in pixels; label -1 where none is
    a list of N dictionaries with "boxes" (M, 4)         for each image; its other tensors with M entries go along

A box is cut off at the border, and is left out where less than `least_visible` of its area would be seen. In a config
each is a partial: `_target_: ofa.data.joint_augment.flip`, `_partial_: true`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ofa.data.augmenting import AnyAugment, apply
from ofa.data.moving_targets import Move, moved_by
from ofa.errors import InvalidInput

LEAST_VISIBLE = 0.25


def flip(images: Tensor, targets: Any, generator: torch.Generator, *, probability: float = 0.5) -> tuple[Tensor, Any]:
    """Returns the images and their targets, each mirrored left to right with `probability`.

    Raises:
        InvalidInput: a probability out of range.
    """
    if not 0 <= probability <= 1:
        raise InvalidInput(f"flip probability={probability}: must be between 0 and 1")
    width = images.shape[3]
    drawn = (torch.rand(len(images), generator=generator) < probability).to(images.device)

    def pixels(maps: Tensor, outside: float) -> Tensor:
        return torch.where(drawn.view(-1, *[1] * (maps.dim() - 1)), maps.flip(-1), maps)

    def boxes(given: Tensor) -> Tensor:
        left, top, right, bottom = given.unbind(-1)
        return torch.where(drawn[:, None, None], torch.stack([width - right, top, width - left, bottom], -1), given)

    return moved_by(images, targets, Move(pixels, boxes, _size(images), 0, 0.0))


def shift(
    images: Tensor,
    targets: Any,
    generator: torch.Generator,
    *,
    pixels: int,
    outside: int = 0,
    least_visible: float = LEAST_VISIBLE,
) -> tuple[Tensor, Any]:
    """Returns the images and their targets moved by up to `pixels` in both directions: a random crop after padding.

    Args:
        images: (N, C, H, W); what comes from outside is black.
        targets: see above.
        generator: of the CPU.
        pixels: at least 0.
        outside: what masks are there: the background, or the class that the task ignores.
        least_visible: of a box's area.

    Raises:
        InvalidInput: fewer than 0 pixels.
    """
    if pixels < 0:
        raise InvalidInput(f"shift pixels={pixels}: must not be negative")
    count, _, height, width = images.shape
    down, right = torch.randint(-pixels, pixels + 1, (2, count), generator=generator).to(images.device)
    rows = torch.arange(height, device=images.device) - down[:, None]  # (N, H): where each row comes from
    columns = torch.arange(width, device=images.device) - right[:, None]
    seen = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    image = torch.arange(count, device=images.device)[:, None, None]
    places = (image, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :])

    def move(maps: Tensor, beyond: float) -> Tensor:
        between = maps.dim() - 3  # dimensions of channels
        moved = maps.flatten(1, -3).permute(0, 2, 3, 1)[places].permute(0, 3, 1, 2) if between else maps[places]
        moved = moved.reshape(maps.shape)
        return torch.where(seen.view(count, *[1] * between, height, width), moved, moved.new_tensor(beyond))

    def boxes(given: Tensor) -> Tensor:
        return given + torch.stack([right, down, right, down], -1)[:, None].to(given)

    return moved_by(images, targets, Move(move, boxes, _size(images), outside, least_visible))


def scale(
    images: Tensor,
    targets: Any,
    generator: torch.Generator,
    *,
    least: float = 0.8,
    most: float = 1.25,
    outside: int = 0,
    least_visible: float = LEAST_VISIBLE,
) -> tuple[Tensor, Any]:
    """Returns the images and their targets, each `least` to `most` times as large, at a random place, of the same size.

    Larger ones show a part of the image, smaller ones lie on black. Images are interpolated (bilinear), masks take the
    nearest pixel.

    Args:
        images: (N, C, H, W).
        targets: see above.
        generator: of the CPU.
        least, most: factors above 0; their logarithms are drawn evenly.
        outside: what masks are beyond the border.
        least_visible: of a box's area.

    Raises:
        InvalidInput: factors that are not above 0, or in the wrong order.
    """
    if not 0 < least <= most:
        raise InvalidInput(f"scale least={least}, most={most}: must be above 0, least not above most")
    count, _, height, width = images.shape
    drawn = torch.rand((3, count), generator=generator, dtype=torch.float64).to(images.device)
    factor = (least * (most / least) ** drawn[0]).float()
    right, down = ((size * (1 - factor)) * share.float() for size, share in ((width, drawn[1]), (height, drawn[2])))

    def where_from(size: int, offset: Tensor) -> Tensor:
        """Where each pixel's center comes from, (N, size), from -1 to 1."""
        centers = torch.arange(size, device=images.device) + 0.5
        return 2 * (centers - offset[:, None]) / (factor[:, None] * size) - 1

    down_grid, right_grid = where_from(height, down), where_from(width, right)
    grid = torch.stack(
        [right_grid[:, None, :].expand(-1, height, -1), down_grid[:, :, None].expand(-1, -1, width)], dim=-1
    )

    def move(maps: Tensor, beyond: float) -> Tensor:
        mode = "bilinear" if maps is images else "nearest"
        channels = maps.reshape(count, -1, height, width).to(torch.float32) - beyond
        moved = functional.grid_sample(channels, grid, mode=mode, padding_mode="zeros", align_corners=False) + beyond
        return moved.reshape(maps.shape).to(maps.dtype)

    def boxes(given: Tensor) -> Tensor:
        offsets = torch.stack([right, down, right, down], -1)[:, None]
        return given * factor[:, None, None].to(given) + offsets.to(given)

    return moved_by(images, targets, Move(move, boxes, _size(images), outside, least_visible))


def each(
    images: Tensor, targets: Any, generator: torch.Generator, *, steps: Sequence[AnyAugment]
) -> tuple[Tensor, Any]:
    """Returns the images and their targets after each step in turn, of images alone or of both."""
    for step in steps:
        images, targets = apply(step, images, targets, generator)
    return images, targets


def _size(images: Tensor) -> tuple[int, int]:
    return int(images.shape[2]), int(images.shape[3])
