"""What a data set is to the rest: three splits of labelled images and how their pixels become numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from ofa.errors import InvalidInput

_CHUNK = 1024  # images normalised at a time, so that no second copy of a whole split is made


class PixelSource(Protocol):
    """Images that are decoded when asked for; a uint8 Tensor is the other kind of source."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""

    def take(self, rows: Tensor) -> Tensor:
        """Returns the images of these rows, (len(rows), C, H, W), uint8."""


@dataclass(frozen=True)
class Preprocessing:
    """How stored pixels become a network's input: (pixels / scale - mean) / std, per channel."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str = "none"  # how images reached this size, for people who deploy: "none" or the method in words

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise InvalidInput(f"scale={self.scale}: must be above 0")
        if len(self.mean) != len(self.std) or not self.mean:
            raise InvalidInput(f"mean {self.mean} and std {self.std}: give one number a channel in each")
        if not all(value > 0 for value in self.std):
            raise InvalidInput(f"std {self.std}: every number must be above 0")

    def unit(self, pixels: Tensor) -> Tensor:
        """Returns float32 images in [0, 1], same shape, where 0 is black."""
        return pixels.to(torch.float32) / self.scale

    def normalise(self, unit_images: Tensor) -> Tensor:
        """Returns what the network sees, from images (N, C, H, W) in [0, 1]."""
        mean = unit_images.new_tensor(self.mean)[:, None, None]
        std = unit_images.new_tensor(self.std)[:, None, None]
        return (unit_images - mean) / std

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON card, with the formula in words."""
        return {
            "formula": "(pixels / scale - mean) / std, per channel",
            "scale": self.scale,
            "mean": list(self.mean),
            "std": list(self.std),
            "resize": self.resize,
        }


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled images: pixels (N, C, H, W) held as a Tensor or decoded when asked for, labels (N,) int64."""

    pixels: Tensor | PixelSource
    labels: Tensor
    preprocessing: Preprocessing
    memory_limit: int = 8 * 2**30  # bytes that `images` may take

    def __post_init__(self) -> None:
        if len(self.pixels.shape) != 4 or self.pixels.shape[0] != len(self.labels):
            raise InvalidInput(f"pixels {tuple(self.pixels.shape)} do not fit {len(self.labels)} labels")

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    @property
    def in_memory(self) -> bool:
        """Whether the decoded pixels are held as one Tensor."""
        return isinstance(self.pixels, Tensor)

    def stored(self, rows: Tensor) -> Tensor:
        """Returns the pixels of `rows` as they are held, (len(rows), C, H, W)."""
        if isinstance(self.pixels, Tensor):
            return self.pixels[rows.to(self.pixels.device)]
        return self.pixels.take(rows)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Returns normalised images (len(rows), C, H, W) float32 and labels (len(rows),) of `rows`."""
        unit_images = self.preprocessing.unit(self.stored(rows))
        return self.preprocessing.normalise(unit_images), self.labels[rows.to(self.labels.device)]

    def in_order(self, batch_size: int = _CHUNK) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields (images, labels) in stored order, not augmented: what to evaluate a large split with."""
        for rows in torch.split(torch.arange(len(self)), batch_size):
            yield self.take(rows)

    @cached_property
    def images(self) -> Tensor:
        """All images, normalised, (N, C, H, W) float32; computed at the first use and kept.

        Raises:
            InvalidInput: they would take more than `memory_limit` bytes.
        """
        count, channels, height, width = self.pixels.shape
        size = 4 * count * channels * height * width
        if size > self.memory_limit:
            raise InvalidInput(
                f"{count} images of {channels}x{height}x{width} need {size / 2**30:.1f} GiB as numbers, "
                f"over the limit of {self.memory_limit / 2**30:.1f} GiB: limit their count, or use `in_order`"
            )
        images = torch.empty((count, channels, height, width), device=self.labels.device)
        for rows in torch.split(torch.arange(count), _CHUNK):
            images[rows[0] : rows[-1] + 1] = self.take(rows)[0].to(images.device)
        return images

    def to(self, device: torch.device | str) -> Split:
        """Returns this split with its tensors on `device`; pixels decoded when asked for stay put."""
        pixels = self.pixels.to(device) if isinstance(self.pixels, Tensor) else self.pixels
        return replace(self, pixels=pixels, labels=self.labels.to(device))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits of one task: train to fit, validation to choose (all a search sees), test to report."""

    name: str
    train: Split
    validation: Split
    test: Split
    num_classes: int
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            split: Split = getattr(self, name)
            if len(split) == 0:
                raise InvalidInput(f"{self.name}: the {name} split has no images")
            if split.shape != self.input_shape:
                raise InvalidInput(f"{self.name}: {name} images are {split.shape}, training images {self.input_shape}")
            low, high = int(split.labels.min()), int(split.labels.max())
            if low < 0 or high >= self.num_classes:
                raise InvalidInput(
                    f"{self.name}: {name} labels run from {low} to {high}; {self.num_classes} classes are "
                    f"numbered 0 to {self.num_classes - 1}"
                )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.train.shape

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How pixels become the network's input, as JSON-able values."""
        return self.train.preprocessing.to_dict()

    def calibration(self, count: int, *, seed: int = 0) -> Tensor:
        """Returns up to `count` training images (N, C, H, W), normalised, never augmented, always the same.

        They are the first of a permutation by `seed`, so a larger count only adds images.
        """
        if count < 1:
            raise InvalidInput(f"calibration images={count}: at least 1 is needed")
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(seed))
        return self.train.take(order[:count])[0]

    def to(self, device: torch.device | str) -> Dataset:
        """Returns this data set with its tensors on `device`."""
        return replace(
            self,
            train=self.train.to(device),
            validation=self.validation.to(device),
            test=self.test.to(device),
        )
