"""Scenes: made-up images of shapes, with a mask, a box and a kind for each: what data sets of shapes are made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ofa.errors import InvalidInput

_CHUNK = 256  # images drawn at a time: few enough for a processor's cache
_HIDDEN = 0.25  # the most of a shape's area that another may cover
_CONTRAST = 0.35  # of a shape's color and the background's, the least in each channel

# Whether points lie in a shape of radius 1 around 0: across and up, (...) each -> bool (...).
_INSIDE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "circle": lambda u, v: u.square() + v.square() <= 1,
    "square": lambda u, v: torch.maximum(u.abs(), v.abs()) <= 0.8,
    "triangle": lambda u, v: (v >= -0.5) & (v + math.sqrt(3) * u.abs() <= 1),
    "cross": lambda u, v: (torch.minimum(u.abs(), v.abs()) <= 0.3) & (torch.maximum(u.abs(), v.abs()) <= 1),
    "ring": lambda u, v: (u.square() + v.square() - 0.625).abs() <= 0.375,
}
KINDS = tuple(_INSIDE)


@dataclass(frozen=True, eq=False)
class Scenes:
    """Images of shapes.

    Attributes:
        pixels: (N, channels, S, S) uint8.
        masks: (N, S, S) int64, 0 for the background, 1 + kind for a shape.
        boxes: (N, most, 4) float32 around what is seen of each shape: left, top, right, bottom in pixels, from the
            upper left corner of the image; 0 where there are fewer shapes.
        kinds: (N, most) int64, -1 where there are fewer shapes.
    """

    pixels: Tensor
    masks: Tensor
    boxes: Tensor
    kinds: Tensor

    @property
    def has(self) -> Tensor:
        """Whether a shape of each kind of `KINDS` is seen, (N, kinds) bool."""
        return (self.kinds[..., None] == torch.arange(len(KINDS))).any(dim=1)


def scenes(
    count: int,
    *,
    image_size: int = 64,
    channels: int = 3,
    kinds: int = 3,
    most: int = 3,
    noise: float = 0.05,
    seed: int = 0,
) -> Scenes:
    """Returns `count` images of one to `most` shapes, turned any way, of any color and place, on a plain background.

    A shape that would cover more than a quarter of another is left out, so that all are seen; the first never is.
    A radius is from 0.12 to 0.25 of `image_size`. The same arguments give the same images; more of them begin with
    the same ones.

    Args:
        count: images.
        image_size: pixels along a side.
        channels: of color, 1 or 3.
        kinds: the first of `KINDS`.
        most: shapes in an image.
        noise: standard deviation added to pixels in [0, 1].
        seed: of all of it.

    Raises:
        InvalidInput: an argument out of range.
    """
    _check(count=(count, 1, None), image_size=(image_size, 16, None), channels=(channels, 1, 3))
    _check(kinds=(kinds, 1, len(KINDS)), most=(most, 1, None), noise=(noise, 0, 1), seed=(seed, 0, None))
    parts = []
    for start in range(0, count, _CHUNK):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + start)
        drawn = _drawn(_CHUNK, image_size, channels, kinds, most, noise, generator)
        parts.append(tuple(part[: count - start] for part in drawn))
    return Scenes(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _check(**ranges: tuple[float, float, float | None]) -> None:
    for name, (value, low, high) in ranges.items():
        if not low <= value <= (math.inf if high is None else high):
            most = "" if high is None else f" and at most {high}"
            raise InvalidInput(f"shapes {name}={value!r}: must be at least {low}{most}")


def _drawn(
    count: int, size: int, channels: int, kinds: int, most: int, noise: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixels, masks, boxes and kinds of one chunk."""

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    background = uniform(count, channels)
    images = background[:, :, None, None].repeat(1, 1, size, size)
    owners = torch.full((count, size, size), -1)  # the shape that each pixel belongs to
    kind = torch.randint(kinds, (count, most), generator=generator)
    wanted = torch.randint(1, most + 1, (count, 1), generator=generator) > torch.arange(most)
    radius = uniform(count, most, low=0.12, high=0.25) * size
    center = radius[..., None] + uniform(count, most, 2) * (size - 2 * radius[..., None])
    turn = uniform(count, most, high=2 * math.pi)
    colors = (background[:, None] + uniform(count, most, channels, low=_CONTRAST, high=1 - _CONTRAST)) % 1
    for slot in range(most):
        inside = _inside(kind[:, slot], center[:, slot], radius[:, slot], turn[:, slot], size)
        inside &= (wanted[:, slot] & _leaves_enough(inside, owners, slot))[:, None, None]
        images = torch.where(inside[:, None], colors[:, slot, :, None, None], images)
        owners = torch.where(inside, slot, owners)
    images += noise * torch.randn(images.shape, generator=generator)
    boxes, seen = _boxes(owners, most)
    kind = torch.where(seen, kind, -1)
    masks = torch.cat([torch.zeros(count, 1, dtype=torch.int64), kind + 1], dim=1)
    masks = masks.gather(1, owners.flatten(1) + 1).view_as(owners)
    return (images.clamp(0, 1) * 255).round().to(torch.uint8), masks, boxes, kind


def _inside(kind: Tensor, center: Tensor, radius: Tensor, turn: Tensor, size: int) -> Tensor:
    """Whether the center of each pixel lies in a shape, (N, size, size) bool."""
    centers = torch.arange(size) + 0.5
    across = ((centers - center[:, :1]) / radius[:, None])[:, None, :]
    down = ((centers - center[:, 1:]) / radius[:, None])[:, :, None]
    cosine, sine = torch.cos(turn)[:, None, None], torch.sin(turn)[:, None, None]
    u, v = cosine * across + sine * down, cosine * down - sine * across
    inside = torch.zeros(len(kind), size, size, dtype=torch.bool)
    for number, name in enumerate(KINDS):
        rows = (kind == number).nonzero().flatten()
        inside[rows] = _INSIDE[name](u[rows], v[rows])
    return inside


def _leaves_enough(inside: Tensor, owners: Tensor, slots: int) -> Tensor:
    """Whether a new shape leaves enough of each of the `slots` shapes before it, (N,) bool."""
    fine = torch.ones(len(inside), dtype=torch.bool)
    for slot in range(slots):
        area, covered = (owners == slot).sum((1, 2)), (inside & (owners == slot)).sum((1, 2))
        fine &= covered <= _HIDDEN * area
    return fine


def _boxes(owners: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Boxes (N, most, 4) of what is seen, and whether anything is, (N, most)."""
    size = owners.shape[-1]
    low, high = torch.arange(size), torch.arange(1, size + 1)
    boxes, seen = [], []
    for slot in range(most):
        columns, rows = (owners == slot).any(1), (owners == slot).any(2)
        left, top = (torch.where(used, low, size).amin(1) for used in (columns, rows))
        right, bottom = (torch.where(used, high, 0).amax(1) for used in (columns, rows))
        seen.append(columns.any(1))
        boxes.append(torch.stack([left, top, right, bottom], 1).float() * seen[-1][:, None])
    return torch.stack(boxes, 1), torch.stack(seen, 1)
