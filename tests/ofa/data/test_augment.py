"""Augmentation: what each does to an image, checked pixel by pixel."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn import functional

from ofa.data.augment import compose, cutout, horizontal_flip, random_resized_crop, random_shift
from ofa.errors import InvalidInput


def test_shift_is_a_random_crop_of_the_padded_image(generator: torch.Generator) -> None:
    images = torch.rand(200, 2, 5, 6, generator=generator) + 0.1
    shifted = random_shift(images, generator, pixels=2)
    padded = functional.pad(images, (2, 2, 2, 2))
    seen = set()
    for number in range(len(images)):
        crops = {
            (row, column): padded[number, :, row : row + 5, column : column + 6]
            for row in range(5)
            for column in range(5)
        }
        matches = [offset for offset, crop in crops.items() if torch.equal(crop, shifted[number])]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) == 25


def test_shift_by_nothing_changes_nothing(generator: torch.Generator) -> None:
    images = torch.rand(3, 1, 4, 4)
    assert torch.equal(random_shift(images, generator, pixels=0), images)


def test_shift_by_more_than_the_image_leaves_black(generator: torch.Generator) -> None:
    shifted = random_shift(torch.ones(300, 1, 2, 2), generator, pixels=5)
    assert set(shifted.unique().tolist()) == {0.0, 1.0}
    assert (shifted.sum((1, 2, 3)) == 0).any()


def test_flip_mirrors_about_half(generator: torch.Generator) -> None:
    images = torch.rand(1000, 1, 3, 4)
    flipped = horizontal_flip(images, generator)
    mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    same = (flipped == images).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert 400 < mirrored.sum() < 600


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_flip_keeps_to_its_probability(generator: torch.Generator, probability: float) -> None:
    images = torch.rand(20, 1, 3, 4)
    expected = images.flip(-1) if probability else images
    assert torch.equal(horizontal_flip(images, generator, probability=probability), expected)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_cutout_blackens_one_square(generator: torch.Generator, size: int) -> None:
    images = torch.ones(400, 3, 6, 7)
    cut = cutout(images, generator, size=size) == 0
    assert torch.equal(cut.any(1), cut.all(1))
    rows, columns = cut[:, 0].any(2).sum(1), cut[:, 0].any(1).sum(1)
    assert torch.equal(cut[:, 0].sum((1, 2)), rows * columns)
    assert rows.max() == size and columns.max() == size
    assert cut[:, 0].any(0).all()  # every place is reached
    assert images.min() == 1


def test_resized_crops_are_parts_of_the_image(generator: torch.Generator) -> None:
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 24), indexing="ij")
    images = torch.stack([rows, columns]).expand(500, 2, 32, 24)
    crops = random_resized_crop(images, generator, least=0.25, most=0.5, aspect=1.5)
    assert crops.shape == images.shape and crops.min() >= 0 and crops.max() <= 1
    steps = [crops[:, 0, 1:, 0] - crops[:, 0, :-1, 0], crops[:, 1, 0, 1:] - crops[:, 1, 0, :-1]]
    height, width = (31 * steps[0][:, 15], 23 * steps[1][:, 11])  # of the part, in the image's
    assert (height * width).min() > 0.25 - 1e-3 and (height * width).max() < 0.5 + 1e-3
    assert (height / width).min() > 1 / 1.5 - 1e-3 and (height / width).max() < 1.5 + 1e-3
    assert crops[:, 0, 0, 0].std() > 0.1 and crops[:, 1, 0, 0].std() > 0.1  # at places all over the image
    whole = random_resized_crop(images, generator, least=1.0, aspect=1.0)
    torch.testing.assert_close(whole, images, atol=1e-5, rtol=0)


def test_compose_applies_in_order() -> None:
    steps = [lambda images, _: images + 1, lambda images, _: images * 10]
    assert compose(torch.zeros(1), torch.Generator(), steps=steps).item() == 10


def test_same_generator_state_same_images() -> None:
    images = torch.rand(16, 3, 8, 8)
    steps = [partial(random_shift, pixels=2), horizontal_flip, partial(cutout, size=4)]
    first, second = (compose(images, torch.Generator().manual_seed(5), steps=steps) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == images.shape and first.dtype == images.dtype


def test_wrong_sizes_are_refused(generator: torch.Generator) -> None:
    images = torch.rand(2, 1, 4, 4)
    with pytest.raises(InvalidInput, match="pixels=-1"):
        random_shift(images, generator, pixels=-1)
    with pytest.raises(InvalidInput, match=r"least=0\.5, most=0\.2"):
        random_resized_crop(images, generator, least=0.5, most=0.2)
    with pytest.raises(InvalidInput, match="size=-2"):
        cutout(images, generator, size=-2)
    with pytest.raises(InvalidInput, match=r"probability=1\.5"):
        horizontal_flip(images, generator, probability=1.5)
