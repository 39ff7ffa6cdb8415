"""Per-channel mean and standard deviation of training pixels."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor

from ofa.data.dataset import PixelSource, Preprocessing

_SAMPLE = 10_000  # images that the statistics are taken from: enough for four digits
_PIECE_NUMBERS = 2**22  # that are held at once


def sampled(pixels: Tensor | PixelSource, dtype: torch.dtype) -> Iterator[Tensor]:
    """Yields the images (n, C, H, W) in pieces, as `dtype`; of more than 10,000 an evenly spaced 10,000."""
    count = pixels.shape[0]
    piece = max(1, min(1000, _PIECE_NUMBERS // max(1, prod(pixels.shape[1:]))))
    for rows in torch.split(torch.linspace(0, count - 1, min(count, _SAMPLE)).long(), piece):
        yield (pixels[rows] if isinstance(pixels, Tensor) else pixels.take(rows)).to(dtype)


def preprocessing_of(
    pixels: Tensor | PixelSource, *, scale: float, resize: str = "none", stored: str = ""
) -> Preprocessing:
    """Returns the Preprocessing with mean and std of `pixels` (N, C, ...) divided by `scale`.

    Of more than 10,000 images an evenly spaced 10,000 are looked at. A constant channel gets std 1.
    """
    channels = pixels.shape[1]
    total, squares, number = torch.zeros(channels).double(), torch.zeros(channels).double(), 0
    for some in sampled(pixels, torch.float64):
        values = some / scale
        others = [0, *range(2, values.dim())]
        total += values.sum(others)
        squares += values.square().sum(others)
        number += values.numel() // channels
    mean = total / number
    std = (squares / number - mean.square()).clamp(min=0).sqrt()
    std = torch.where(std > 1e-6, std, torch.ones_like(std))
    # Six decimals, so that the card's figures are the very ones in use.
    return Preprocessing(
        scale, tuple(round(m, 6) for m in mean.tolist()), tuple(round(s, 6) for s in std.tolist()), resize, stored
    )
