"""Operations on the pixels of images (N, C, H, W) in [0, 1], each image with its own strength; 0 changes nothing.

Strengths are (N, 1, 1, 1), from -1 to 1: negative takes away, positive adds, by at most `_SPAN`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_SPAN = 0.9  # the strongest change of a factor about 1, as in RandAugment (Cubuk et al. 2020, 1909.13719)
_BITS, _FEWEST_BITS = 8, 2  # of a channel's values, before and at the strongest
_SQUARE = 0.4  # of the shorter side, at the strongest


def brightness(images: Tensor, strengths: Tensor) -> Tensor:
    """Returns the images multiplied by 1 + 0.9 strength, cut off at 1."""
    return _away_from(torch.zeros_like(images), images, strengths)


def contrast(images: Tensor, strengths: Tensor) -> Tensor:
    """Returns the images with the distance to their mean multiplied by 1 + 0.9 strength, cut off at 0 and 1."""
    return _away_from(images.mean((1, 2, 3), keepdim=True), images, strengths)


def saturation(images: Tensor, strengths: Tensor) -> Tensor:
    """Returns the images with the distance to the mean of channels multiplied by 1 + 0.9 strength."""
    return _away_from(images.mean(1, keepdim=True), images, strengths)


def sharpness(images: Tensor, strengths: Tensor) -> Tensor:
    """Returns the images with the distance to a smoothed copy multiplied by 1 + 0.9 strength: below 0 is blur.

    The smoothing is a 3x3 mean in which the center counts five times; beyond the border its pixels are repeated.
    """
    box = functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return _away_from((9 * box + 4 * images) / 13, images, strengths)


def posterize(images: Tensor, strengths: Tensor) -> Tensor:
    """Returns the images with values at the nearest of 2^(8 - 6 |strength|) evenly spaced ones, from 0 to 1."""
    steps = (2 ** (_BITS - (_BITS - _FEWEST_BITS) * strengths.abs())).round() - 1
    return torch.where(strengths == 0, images, (images * steps).round() / steps)


def cut(images: Tensor, strengths: Tensor, centers: Tensor) -> Tensor:
    """Returns the images without a square whose side is 0.4 strength of the shorter side, strengths (N,) from 0 to 1.

    Its center is anywhere in the image: centers (2, N), rows and columns in [0, 1], so that it may reach over the
    border. Pixels that it covers in part lose that part, so that its size need not be whole.

    Source: DeVries and Taylor 2017, 1708.04552.
    """
    height, width = images.shape[2:]
    half = strengths * (_SQUARE * min(height, width) / 2)
    rows, columns = (
        _covered(center * length, half, length) for center, length in zip(centers, (height, width), strict=True)
    )
    return images * (1 - rows[:, None, :, None] * columns[:, None, None, :])


def _covered(centers: Tensor, halves: Tensor, length: int) -> Tensor:
    """Returns (N, length): the fraction of each pixel that lies within center - half and center + half."""
    starts = torch.arange(length, dtype=centers.dtype, device=centers.device)
    ends = torch.minimum(starts + 1, (centers + halves)[:, None])
    return (ends - torch.maximum(starts, (centers - halves)[:, None])).clamp(0, 1)


def _away_from(plain: Tensor, images: Tensor, strengths: Tensor) -> Tensor:
    """Returns the images with their distance to `plain` multiplied by 1 + 0.9 strength, within [0, 1]."""
    return (images + _SPAN * strengths * (images - plain)).clamp(0, 1)
