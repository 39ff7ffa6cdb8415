"""Resizing of images to another resolution, as a network of that resolution gets them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

METHOD = "antialiased bilinear"


def resized_images(images: Tensor, height: int) -> Tensor:
    """Returns images (N, C, H, W) at a height in pixels, their width in proportion; the same object where it is theirs.

    Floating-point images in, of the same type and memory format out: bilinear, antialiased as images from a camera
    have to be before they are made smaller. Sums of neighbors' weights are 1, so it makes no difference but
    rounding whether images are normalized before or after.
    """
    if images.shape[2] == height:
        return images
    size = resized_size(images.shape[2:], height)
    # On CPUs torch has no antialiased kernel for half precision.
    exact = images.float() if images.dtype in (torch.float16, torch.bfloat16) else images
    return functional.interpolate(exact, size=size, mode="bilinear", antialias=True).to(images.dtype)


def resized_size(size: tuple[int, ...], height: int) -> tuple[int, int]:
    """Returns (height, width) of images of a `size` (H, W) once they have another height."""
    return height, max(1, round(size[1] * height / size[0]))
