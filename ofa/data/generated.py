"""A made-up data set of any size, for tests and timings: learnable, seeded, nothing to read."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ofa.data.dataset import Dataset, Split
from ofa.data.splitting import stratified
from ofa.data.statistics import preprocessing_of
from ofa.errors import InvalidInput


def synthetic(
    *,
    image_size: int = 16,
    channels: int = 1,
    num_classes: int = 4,
    samples: int = 512,
    noise: float = 0.15,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Returns images (channels, image_size, image_size) that are a smooth pattern of their class plus noise.

    `noise` is the standard deviation added to pixels in [0, 1]. Classes have equal shares of `samples`.

    Raises:
        InvalidInput: a size below 1, or fewer than 10 samples per class.
    """
    sizes = {"image_size": image_size, "channels": channels, "num_classes": num_classes}
    for name, value in sizes.items():
        if value < 1:
            raise InvalidInput(f"synthetic {name}={value}: must be at least 1")
    if samples < 10 * num_classes:
        raise InvalidInput(f"synthetic samples={samples}: {num_classes} classes need at least {10 * num_classes}")
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % num_classes
    pixels = _images(labels, num_classes, (channels, image_size, image_size), noise, generator)
    parts = stratified(labels, {"validation": validation, "test": test}, seed=seed)
    preprocessing = preprocessing_of(pixels[parts["train"]], scale=255.0, stored="8 bits, 0 to 255")
    splits = {
        part: Split(pixels[rows], labels[rows], preprocessing, origin=f"made from seed {seed}")
        for part, rows in parts.items()
    }
    return Dataset("synthetic", splits["train"], splits["validation"], splits["test"], num_classes)


def _images(
    labels: Tensor, num_classes: int, shape: tuple[int, int, int], noise: float, generator: torch.Generator
) -> Tensor:
    """Returns uint8 images: each class a blurred random pattern, stretched to [0, 1], plus noise."""
    coarse = torch.rand((num_classes, shape[0], 4, 4), generator=generator)
    patterns = functional.interpolate(coarse, shape[1:], mode="bilinear")
    images = patterns[labels] + noise * torch.randn((len(labels), *shape), generator=generator)
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)
