"""Cluttered digits: the digit is there at full size, its clutter is of other digits of the same split."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ofa.data import Dataset, cluttered_digits, digits
from ofa.data.clutter import _windows
from ofa.data.contents import contents_of
from ofa.errors import InvalidInput


@pytest.fixture(scope="module")
def data() -> Dataset:
    return cluttered_digits(noise=0.0, copies=2, image_size=12, pieces=2)


def places(image: Tensor, glyph: Tensor) -> int:
    """At how many places of an image (H, W) every pixel is at least as bright as the glyph (8, 8) there."""
    windows = image.unfold(0, 8, 1).unfold(1, 8, 1)
    return int((windows >= glyph).flatten(2).all(dim=2).sum())


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_each_digit_of_the_split_is_in_its_images(data: Dataset, part: str) -> None:
    images, whole = getattr(data, part), getattr(digits(), part)
    assert torch.equal(images.labels, whole.labels.repeat_interleave(2))
    for index in range(0, len(images), 97):
        glyph = (whole.pixels[index // 2, 0] / 16 * 255).round()
        assert places(images.pixels[index, 0], glyph) >= 1
        assert images.pixels[index].float().sum() >= glyph.sum()


def test_without_clutter_nothing_but_the_digit_is_there() -> None:
    bare = cluttered_digits(noise=0.0, copies=1, pieces=0)
    whole = digits().test.pixels[:, 0] / 16 * 255
    assert torch.equal(bare.test.pixels.float().sum((1, 2, 3)), whole.round().sum((1, 2)))


def test_clutter_is_of_other_digits_and_noise_moves_pixels() -> None:
    bare, cluttered, noisy = (
        cluttered_digits(noise=noise, copies=1, pieces=pieces).train.pixels.float()
        for noise, pieces in ((0.0, 0), (0.0, 6), (0.2, 0))
    )
    assert (cluttered > 0).float().mean() > 1.3 * (bare > 0).float().mean()
    assert 0.05 < float(noisy[bare == 255].std()) / 255 < 0.2  # cut at white: less than what was added


def test_windows_are_parts_of_their_glyphs() -> None:
    glyphs = torch.arange(3 * 64).reshape(3, 8, 8)
    for glyph, window in zip(glyphs, _windows(glyphs, torch.Generator().manual_seed(0)), strict=True):
        row, column = divmod(int(window[0, 0] - glyph[0, 0]), 8)
        assert torch.equal(window, glyph[row : row + 4, column : column + 4])


def test_a_seed_gives_the_same_images() -> None:
    first, again, other = (contents_of(cluttered_digits(copies=1, seed=seed)).digests for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"image_size": 7}, "must be at least 8"),
        ({"copies": 0}, "must be at least 1"),
        ({"pieces": -1}, "must be 0 or more"),
        ({"noise": float("nan")}, "a standard deviation, 0 or more"),
        ({"noise": -0.1}, "a standard deviation, 0 or more"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, float], rule: str) -> None:
    with pytest.raises(InvalidInput, match=rule):
        cluttered_digits(**arguments)  # type: ignore[arg-type]
