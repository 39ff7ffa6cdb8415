"""Data sets: three splits of labeled images and how their pixels become numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor

from ofa.data.identity import identities_of
from ofa.data.input_table import InputTable
from ofa.data.resizing import METHOD, resized_images, resized_size
from ofa.errors import InvalidInput
from ofa.inputs import Inputs

_CHUNK = 1024  # images normalized at a time, so that no second copy of a whole split is made


class PixelSource(Protocol):
    """Images that are decoded when asked for; a Tensor is the other kind of source."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""

    def take(self, rows: Tensor) -> Tensor:
        """Returns the images of these rows, (len(rows), C, H, W), as they are stored."""


@dataclass(frozen=True)
class Preprocessing:
    """How stored pixels become a network's input: (pixels / scale - mean) / std, per channel.

    With no mean and no std they are taken as they are: token ids. With a `height` images are then resized to it.
    """

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str = "none"  # how images reached this size, for people who deploy: "none" or the method in words
    stored: str = ""  # what the numbers of a pixel are, in words, such as "8 bits, 0 to 255"
    height: int | None = None  # in pixels, the width in proportion; None: as stored

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise InvalidInput(f"scale={self.scale}: must be above 0")
        if len(self.mean) != len(self.std):
            raise InvalidInput(f"mean {self.mean} and std {self.std}: give one number per channel in each")
        if not all(value > 0 for value in self.std):
            raise InvalidInput(f"std {self.std}: every number must be above 0")

    @property
    def as_they_are(self) -> bool:
        """Whether a network sees the numbers that are stored, whole ones among them."""
        return not self.mean

    def unit(self, pixels: Any) -> Any:
        """Returns float32 images in [0, 1], same shape, where 0 is black; token ids as they are."""
        return pixels if self.as_they_are else pixels.to(torch.float32) / self.scale

    def normalize(self, unit_images: Any) -> Any:
        """Returns what the network sees, from images (N, C, H, W) in [0, 1]; token ids as they are."""
        if self.as_they_are:
            return unit_images
        mean = unit_images.new_tensor(self.mean)[:, None, None]
        std = unit_images.new_tensor(self.std)[:, None, None]
        images = (unit_images - mean) / std
        return images if self.height is None else resized_images(images, self.height)

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the shape of one input of the network, (C, H, W) or (T,), from that of a stored one."""
        return stored if self.height is None else (stored[0], *resized_size(stored[1:], self.height))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON card, with the formula in words."""
        smaller = f"to {self.height} pixels of height, {METHOD}"
        resize = smaller if self.resize == "none" else f"{self.resize}; then {smaller}"
        return {
            "formula": "as they are" if self.as_they_are else "(pixels / scale - mean) / std, per channel",
            "pixels": self.stored,
            "scale": self.scale,
            "mean": list(self.mean),
            "std": list(self.std),
            "resize": self.resize if self.height is None else resize,
        }


@dataclass(frozen=True, eq=False)
class Split:
    """Labeled images: pixels (N, C, H, W) held as a Tensor or decoded when asked for, labels (N,) int64.

    Or labeled text: token ids (N, T) in place of pixels, whole numbers, with a preprocessing without mean and std.
    `known_identities` (N,) int64 are of the samples as they are stored, where pixels are not (see `identities`).
    `origin` says in a few words where the images are from.
    """

    pixels: Tensor | PixelSource | InputTable
    labels: Tensor
    preprocessing: Preprocessing
    memory_limit: int = 8 * 2**30  # bytes that `images` may take
    known_identities: Tensor | None = None
    origin: str = ""

    def __post_init__(self) -> None:
        dimensions = 2 if self.preprocessing.as_they_are else 4
        fits = isinstance(self.pixels, InputTable) or len(self.pixels.shape) == dimensions
        if not fits or self.pixels.shape[0] != len(self.labels):
            raise InvalidInput(f"pixels {tuple(self.pixels.shape)} do not fit {len(self.labels)} labels")

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image, (T,) of one text."""
        return self.preprocessing.shape(tuple(self.pixels.shape[1:]))

    @property
    def table(self) -> Inputs | None:
        """All inputs, where there are several tensors for each example; None of images and texts."""
        return self.pixels.inputs if isinstance(self.pixels, InputTable) else None

    @property
    def in_memory(self) -> bool:
        """Whether the decoded pixels are held as one Tensor."""
        return isinstance(self.pixels, Tensor)

    def stored(self, rows: Tensor) -> Any:
        """Returns the pixels of `rows` as they are held, (len(rows), C, H, W); `Inputs` of a table of them."""
        if isinstance(self.pixels, Tensor):
            return self.pixels[rows.to(self.pixels.device)]
        return self.pixels.take(rows)

    def take(self, rows: Tensor) -> tuple[Any, Tensor]:
        """Returns normalized images (len(rows), C, H, W) float32, or token ids, and labels (len(rows),) of `rows`."""
        unit_images = self.preprocessing.unit(self.stored(rows))
        return self.preprocessing.normalize(unit_images), self.labels[rows.to(self.labels.device)]

    def in_order(self, batch_size: int = _CHUNK) -> Iterator[tuple[Any, Tensor]]:
        """Yields (images, labels) in stored order, not augmented: what to evaluate a large split with."""
        for rows in torch.split(torch.arange(len(self)), batch_size):
            yield self.take(rows)

    @cached_property
    def identities(self) -> Tensor:
        """The identity of each sample, (N,) int64: `known_identities`, or from the bytes of its pixels."""
        if self.known_identities is not None:
            return self.known_identities
        if isinstance(self.pixels, Tensor):
            return identities_of(self.pixels)
        return torch.cat([identities_of(self.stored(rows)) for rows in torch.split(torch.arange(len(self)), _CHUNK)])

    @cached_property
    def images(self) -> Any:
        """All images, normalized, (N, C, H, W) float32, or all token ids or `Inputs`; computed once.

        Raises:
            InvalidInput: they would take more than `memory_limit` bytes.
        """
        count, shape = len(self), self.shape
        size = 4 * count * prod(shape)
        if size > self.memory_limit:
            raise InvalidInput(
                f"{count} images of {'x'.join(map(str, shape))} need {size / 2**30:.1f} GiB as numbers, "
                f"over the limit of {self.memory_limit / 2**30:.1f} GiB: limit their count, or use `in_order`"
            )
        if isinstance(self.pixels, InputTable):
            return self.pixels.inputs
        if self.preprocessing.as_they_are and isinstance(self.pixels, Tensor):
            return self.pixels
        images = torch.empty((count, *shape), device=self.labels.device)
        for rows in torch.split(torch.arange(count), _CHUNK):
            images[rows[0] : rows[-1] + 1] = self.take(rows)[0].to(images.device)
        return images

    def with_height(self, height: int) -> Split:
        """Returns this split with images at another height in pixels, their width in proportion; stored as they are.

        Raises:
            InvalidInput: it is not of images.
        """
        if self.table is not None or self.preprocessing.as_they_are:
            raise InvalidInput(f"a resolution of {height} pixels is of images; these are inputs of shape {self.shape}")
        return replace(self, preprocessing=replace(self.preprocessing, height=height))

    def to(self, device: torch.device | str) -> Split:
        """Returns this split with its tensors on `device`; pixels decoded when asked for stay put."""
        pixels = self.pixels.to(device) if isinstance(self.pixels, (Tensor, InputTable)) else self.pixels
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
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image, (T,) of one text."""
        return self.train.shape

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How pixels become the network's input, as JSON-able values."""
        return self.train.preprocessing.to_dict()

    def calibration(self, count: int, *, seed: int = 0) -> Any:
        """Returns up to `count` training images (N, C, H, W), normalized, never augmented, always the same; or inputs.

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
