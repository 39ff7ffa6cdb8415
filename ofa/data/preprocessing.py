"""How stored numbers become a network's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ofa.data.resizing import METHOD, resized_images, resized_size
from ofa.errors import InvalidInput


@dataclass(frozen=True)
class Preprocessing:
    """How stored numbers become a network's input: (numbers / scale - mean) / std, per channel.

    Channels are the first dimension of an example: of an image (C, H, W), a signal (C, T) or a row of a table (C,).
    With no mean and no std numbers are taken as they are, such as token ids. With a `height` images are then resized
    to it.
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
        """Returns float32 images in [0, 1], same shape, where 0 is black; what is taken as it is, as it is."""
        return pixels if self.as_they_are else pixels.to(torch.float32, copy=True).div_(self.scale)

    def normalize(self, unit_images: Any) -> Any:
        """Returns what the network sees, from images (N, C, H, W) in [0, 1] or other examples (N, C, ...)."""
        images = unit_images
        if not self.as_they_are:
            channels = (-1, *[1] * (unit_images.dim() - 2))
            mean = unit_images.new_tensor(self.mean).view(channels)
            std = unit_images.new_tensor(self.std).view(channels)
            images = (unit_images - mean).div_(std)  # no third copy
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
