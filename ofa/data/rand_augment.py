"""RandAugment: random operations of one strength, so that two numbers say how much a training augments."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ofa.data.augmenting import Augment
from ofa.data.pixel_operations import brightness, contrast, cut, posterize, saturation, sharpness
from ofa.errors import InvalidInput, is_number, is_whole, nearest

STRONGEST = 10.0  # magnitude
GEOMETRIC = ("shift_x", "shift_y", "shear_x", "shear_y", "rotate", "zoom")
# Images (N, C, H, W) and strengths (N, 1, 1, 1) in [-1, 1] -> images.
_PIXELS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "sharpness": sharpness,
    "posterize": posterize,
}
OPERATIONS = ("identity", *GEOMETRIC, *_PIXELS, "cutout")


def rand_augment(
    images: Tensor,
    generator: torch.Generator,
    *,
    operations: int = 2,
    magnitude: float = 5.0,
    among: Sequence[str] = OPERATIONS,
    first: Augment | None = None,
) -> Tensor:
    """Returns each image after `operations` random ones of `among` in turn, all of strength `magnitude`.

    Every image draws its own operations and directions, evenly and with replacement. No operations, or magnitude 0,
    leave the images as they are, bit for bit. Pixels from outside are black (0). At magnitude 10:

        shift_x, shift_y    by 0.3 of the width or height        brightness   times 0.1 or 1.9
        shear_x, shear_y    by 0.3 pixels per pixel                contrast     times 0.1 or 1.9, about the image's mean
        rotate              by 30 degrees                        saturation   times 0.1 or 1.9, about the pixel's mean
        zoom                1.4 times as large or small          sharpness    times 0.1 (blur) or 1.9, of fine detail
        cutout              a square of 0.4 of the shorter side  posterize    4 values per channel

    and in proportion below it (zoom and posterize: their logarithms). Single-channel images do not draw saturation.

    Args:
        images: (N, C, H, W), floating point in [0, 1]; not yet normalized.
        generator: of the CPU, wherever the images are.
        operations: how many an image goes through, n in the paper.
        magnitude: 0 to 10, m in the paper; need not be whole.
        among: names of `OPERATIONS`.
        first: an augmentation that comes before, such as random_shift; its strength is separate.

    Raises:
        InvalidInput: fewer than 0 operations, a magnitude outside 0 to 10, or an unknown operation.

    Source: Cubuk et al. 2020, 1909.13719, algorithm 1. Their solarize, equalize and autocontrast, of which two have no
    strength, are left out; zoom and cutout (DeVries and Taylor 2017, 1708.04552) are in their place; moves interpolate.
    """
    _check(operations, magnitude, among)
    if first is not None:
        images = first(images, generator)
    count, channels = images.shape[:2]
    names = [name for name in among if channels > 1 or name != "saturation"]
    if magnitude == 0 or not names:
        return images
    for _ in range(operations):
        chosen = torch.randint(len(names), (count,), generator=generator)
        signs = torch.randint(2, (count,), generator=generator) * 2 - 1
        places = torch.rand((2, count), generator=generator)  # for all, so that draws do not depend on operations
        strengths = signs * (magnitude / STRONGEST)
        images = _one_each(images, [names[index] for index in chosen.tolist()], strengths, places)
    return images


def _check(operations: int, magnitude: float, among: Sequence[str]) -> None:
    """Raises InvalidInput for arguments that `rand_augment` cannot use."""
    if not is_whole(operations, 0):
        raise InvalidInput(f"rand_augment operations={operations!r}: must be a whole number, at least 0")
    if not is_number(magnitude) or not 0 <= magnitude <= STRONGEST:
        raise InvalidInput(f"rand_augment magnitude={magnitude!r}: must be a number from 0 to {STRONGEST:g}")
    for name in among:
        if name not in OPERATIONS:
            raise InvalidInput(f"rand_augment among {name!r}: is not an operation; {nearest(name, OPERATIONS)}")


def _one_each(images: Tensor, names: Sequence[str], strengths: Tensor, places: Tensor) -> Tensor:
    """Returns the images after one named operation each; images of the same operation go through it together."""
    changed = images.clone()
    rows: dict[str, list[int]] = {}  # by operation; all six moves are one, for a single grid_sample
    for row, name in enumerate(names):
        rows.setdefault("move" if name in GEOMETRIC else name, []).append(row)
    for name, numbers in rows.items():
        if name == "identity":
            continue
        some = torch.tensor(numbers)
        there = some.to(images.device)
        if name == "move":
            matrices = _matrices([names[number] for number in numbers], strengths[some], images.shape[2:])
            changed[there] = _move(images[there], matrices.to(images))
        elif name == "cutout":
            changed[there] = cut(images[there], strengths[some].abs().to(images), places[:, some].to(images))
        else:
            changed[there] = _PIXELS[name](images[there], strengths[some].to(images)[:, None, None, None])
    return changed


def _move(images: Tensor, matrices: Tensor) -> Tensor:
    """Returns the images resampled, each output pixel from where its matrix (2, 3) points, black outside."""
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _matrices(names: Sequence[str], strengths: Tensor, size: Sequence[int]) -> Tensor:
    """Returns (N, 2, 3): from output to input coordinates, each from -1 to 1 across the image, of one move per image.

    Positive strengths move to the right and downwards, turn clockwise, and enlarge.
    """
    height, width = size

    def of(name: str) -> Tensor:
        return strengths * torch.tensor([operation == name for operation in names])

    angle, scale = of("rotate") * math.radians(30), 1.4 ** of("zoom")
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    # Shears and turns are of pixels: what is mixed of the other axis is scaled from its length to this one's.
    across = (sine - 0.3 * of("shear_x")) * (height / width)
    down = (-sine - 0.3 * of("shear_y")) * (width / height)
    to_x = torch.stack([cosine, across, -2 * 0.3 * of("shift_x")], 1)
    to_y = torch.stack([down, cosine, -2 * 0.3 * of("shift_y")], 1)
    return torch.stack([to_x, to_y], 1)
