"""Digits among pieces of other digits: harder than the bundled ones, and nothing to download."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ofa.data.bundled import digits
from ofa.data.dataset import Dataset, Split
from ofa.data.statistics import preprocessing_of
from ofa.errors import InvalidInput, is_number

PIECE = 4  # pixels along a side of a piece of another digit
DIGIT = 8  # pixels along a side of the digits as they are stored
SCALE = 16.0  # the digits' gray levels, 0 to 16


def cluttered_digits(
    *,
    image_size: int = 16,
    copies: int = 3,
    pieces: int = 4,
    noise: float = 0.1,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Returns scikit-learn's digits as images (1, image_size, image_size), each at a random place among clutter.

    The clutter of an image is `pieces` of 4x4 pixels cut from other digits of its split and put at random places, under
    the digit, and Gaussian noise of standard deviation `noise` on gray levels of 0 to 1. Each digit comes in `copies`
    images. The digits are split before anything is drawn, as by `digits`, so that no digit and no piece of one is in
    two splits. A function of its arguments.
    Source: the cluttered digits of Mnih et al. 2014, 1406.6247, section 4, made from smaller digits.

    Raises:
        InvalidInput: an argument out of range.
    """
    if image_size < DIGIT:
        raise InvalidInput(f"cluttered_digits image_size={image_size!r}: must be at least {DIGIT}, the digits' own")
    if copies < 1:
        raise InvalidInput(f"cluttered_digits copies={copies!r}: must be at least 1")
    if pieces < 0:
        raise InvalidInput(f"cluttered_digits pieces={pieces!r}: must be 0 or more")
    if not is_number(noise) or noise < 0:
        raise InvalidInput(f"cluttered_digits noise={noise!r}: a standard deviation, 0 or more")
    plain = digits(validation=validation, test=test, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for part in ("train", "validation", "test"):
        split = getattr(plain, part)
        glyphs = split.pixels[:, 0].repeat_interleave(copies, dim=0) / SCALE
        made[part] = (
            _cluttered(glyphs, copies, image_size, pieces, noise, generator),
            split.labels.repeat_interleave(copies),
        )
    stored = "8 bits, 0 to 255"
    preprocessing = preprocessing_of(made["train"][0], scale=255.0, stored=stored)
    splits = {
        part: Split(pixels, labels, preprocessing, origin=f"scikit-learn's digits, cluttered from seed {seed}")
        for part, (pixels, labels) in made.items()
    }
    names = plain.class_names
    return Dataset("cluttered_digits", splits["train"], splits["validation"], splits["test"], 10, class_names=names)


def _cluttered(glyphs: Tensor, copies: int, size: int, pieces: int, noise: float, generator: torch.Generator) -> Tensor:
    """Returns uint8 images (N, 1, size, size) of glyphs (N, 8, 8) in [0, 1], `copies` of each one after another."""
    count = len(glyphs)
    image = torch.zeros(count, size, size)
    for _ in range(pieces):
        # A shift by whole digits, so that no piece is of the image's own digit.
        shift = copies * torch.randint(1, max(2, count // copies), (count,), generator=generator)
        others = glyphs[(torch.arange(count) + shift) % count]
        image = torch.maximum(image, _placed(_windows(others, generator), size, generator))
    image = torch.maximum(image, _placed(glyphs, size, generator))
    image = image + noise * torch.randn(image.shape, generator=generator)
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).unsqueeze(1)


def _windows(glyphs: Tensor, generator: torch.Generator) -> Tensor:
    """A window (N, 4, 4) at a random place of each glyph (N, 8, 8)."""
    count = len(glyphs)
    starts = torch.randint(DIGIT - PIECE + 1, (2, count, 1), generator=generator)
    rows, columns = starts + torch.arange(PIECE)
    return glyphs[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _placed(patches: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Each patch (N, P, P) at a random place of an empty image (N, size, size)."""
    count, side = len(patches), patches.shape[-1]
    room = size - side
    padded = functional.pad(patches, (room, room, room, room))
    starts = torch.randint(room + 1, (2, count, 1), generator=generator)
    rows, columns = starts + torch.arange(size)
    return padded[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
