"""Augmentation of whole batches: functions of (images (N, C, H, W) in [0, 1], CPU generator), same shape out.

In a config each one is a partial: `_target_: ofa.data.augment.random_shift`, `_partial_: true`, `pixels: 2`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ofa.data.augmenting import Augment
from ofa.errors import InvalidInput


def random_shift(images: Tensor, generator: torch.Generator, *, pixels: int) -> Tensor:
    """Returns each image moved by up to `pixels` in both directions; pixels from outside are black (0).

    The same as padding by `pixels` and cropping at random (He et al. 2016, 1512.03385, section 4.2).
    """
    if pixels < 0:
        raise InvalidInput(f"random_shift pixels={pixels}: must not be negative")
    count, _, height, width = images.shape
    offsets = torch.randint(-pixels, pixels + 1, (2, count, 1), generator=generator).to(images.device)
    rows = torch.arange(height, device=images.device) + offsets[0]  # (N, H): the row each output row comes from
    columns = torch.arange(width, device=images.device) + offsets[1]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    image = torch.arange(count, device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[
        image, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]
    ]
    return moved.permute(0, 3, 1, 2) * inside[:, None]


def horizontal_flip(images: Tensor, generator: torch.Generator, *, probability: float = 0.5) -> Tensor:
    """Returns the images, each mirrored left to right with `probability`."""
    if not 0 <= probability <= 1:
        raise InvalidInput(f"horizontal_flip probability={probability}: must be between 0 and 1")
    flip = (torch.rand(len(images), generator=generator) < probability).to(images.device)
    return torch.where(flip[:, None, None, None], images.flip(-1), images)


def cutout(images: Tensor, generator: torch.Generator, *, size: int) -> Tensor:
    """Returns the images with one square of `size` pixels each set to 0; it may extend beyond the border.

    Source: DeVries and Taylor 2017, 1708.04552.
    """
    if size < 0:
        raise InvalidInput(f"cutout size={size}: must not be negative")
    count, _, height, width = images.shape
    top = torch.randint(0, height, (count, 1), generator=generator).to(images.device) - size // 2
    left = torch.randint(0, width, (count, 1), generator=generator).to(images.device) - size // 2
    rows, columns = (torch.arange(length, device=images.device) for length in (height, width))
    cut = ((rows >= top) & (rows < top + size))[:, :, None] & ((columns >= left) & (columns < left + size))[:, None, :]
    return images.masked_fill(cut[:, None], 0.0)


def random_resized_crop(
    images: Tensor, generator: torch.Generator, *, least: float = 0.25, most: float = 1.0, aspect: float = 4 / 3
) -> Tensor:
    """Returns a random part of each image, made as large as the image was (bilinear).

    Args:
        images: (N, C, H, W).
        generator: of the CPU.
        least, most: of the image's area, fractions.
        aspect: how much wider than it is high a part can be in proportion to the image, or higher than wide; even by
            its logarithm.

    Raises:
        InvalidInput: fractions that are none or in the wrong order, or an aspect below 1.

    Source: Szegedy et al. 2015, 1409.4842, section 6.
    """
    if not 0 < least <= most <= 1 or aspect < 1:
        raise InvalidInput(
            f"random_resized_crop least={least}, most={most}, aspect={aspect}: give 0 < least <= most <= 1, aspect >= 1"
        )
    drawn = torch.rand((4, len(images)), generator=generator, dtype=torch.float64)
    area, stretch = least + (most - least) * drawn[0], aspect ** (2 * drawn[1] - 1)
    width, height = ((area * factor).sqrt().clamp(max=1) for factor in (stretch, 1 / stretch))
    affine = torch.zeros(len(images), 2, 3)
    for axis, (size, where) in enumerate(((width, drawn[2]), (height, drawn[3]))):
        affine[:, axis, axis] = size.float()
        affine[:, axis, 2] = ((1 - size) * (2 * where - 1)).float()
    grid = functional.affine_grid(affine.to(images), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def compose(images: Tensor, generator: torch.Generator, *, steps: Sequence[Augment]) -> Tensor:
    """Returns the images after each step in turn."""
    for step in steps:
        images = step(images, generator)
    return images
