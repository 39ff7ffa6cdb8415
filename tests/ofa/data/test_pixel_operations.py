"""Operations on pixels: each on an image small enough to compute by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ofa.data.pixel_operations import brightness, contrast, cut, posterize, saturation, sharpness

OPERATIONS = [brightness, contrast, saturation, sharpness, posterize]


def strengths(*values: float) -> Tensor:
    return torch.tensor(values)[:, None, None, None]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_strength_0_changes_nothing_and_images_are_apart(operation) -> None:
    images = torch.rand(1, 3, 8, 8).expand(3, -1, -1, -1)
    changed = operation(images, strengths(0, 0.5, 1))
    assert torch.equal(changed[0], images[0])
    assert not torch.equal(changed[1], images[1]) and not torch.equal(changed[1], changed[2])
    assert changed.min() >= 0 and changed.max() <= 1


def test_brightness_multiplies() -> None:
    images = torch.tensor([0.0, 0.2, 0.8]).view(1, 1, 1, 3).expand(2, -1, -1, -1)
    expected = [[0.0, 0.02, 0.08], [0.0, 0.38, 1.0]]
    assert torch.allclose(brightness(images, strengths(-1, 1)).flatten(1), torch.tensor(expected))


def test_contrast_keeps_the_mean() -> None:
    images = torch.tensor([0.4, 0.5, 0.6]).view(1, 1, 1, 3).expand(2, -1, -1, -1)
    expected = [[0.49, 0.5, 0.51], [0.31, 0.5, 0.69]]
    assert torch.allclose(contrast(images, strengths(-1, 1)).flatten(1), torch.tensor(expected))


def test_saturation_is_of_each_pixel() -> None:
    images = torch.tensor([[0.3, 0.5, 0.4], [0.2, 0.2, 0.2]]).t().view(1, 3, 1, 2)
    expected = torch.tensor([[0.39, 0.41, 0.4], [0.2, 0.2, 0.2]]).t().view(1, 3, 1, 2)
    assert torch.allclose(saturation(images, strengths(-1)), expected)


def test_sharpness_spreads_or_heightens_a_dot() -> None:
    images = torch.zeros(2, 1, 5, 5)
    images[:, :, 2, 2] = 0.5
    blurred, sharpened = sharpness(images, strengths(-1, 1))[:, 0]
    assert blurred[2, 2].item() == pytest.approx(0.5 * (0.1 + 0.9 * 5 / 13))
    assert blurred[1, 1].item() == pytest.approx(0.5 * 0.9 / 13) and blurred[0, 0] == 0
    assert blurred.sum().item() == pytest.approx(0.5)
    assert sharpened[2, 2].item() == pytest.approx(0.5 * (1 + 0.9 * 8 / 13)) and sharpened[1, 1] == 0


def test_sharpness_leaves_flat_images_to_the_border() -> None:
    images = torch.full((2, 3, 8, 8), 0.7)
    assert torch.allclose(sharpness(images, strengths(-1, 1)), images)


def test_posterize_leaves_few_values() -> None:
    images = torch.linspace(0, 1, 1000).view(1, 1, 1, 1000).expand(3, -1, -1, -1)
    values = [image.unique() for image in posterize(images, strengths(0.5, 1, -1))]
    assert [len(value) for value in values] == [32, 4, 4]
    assert torch.allclose(values[1], torch.tensor([0, 1 / 3, 2 / 3, 1]))


def test_cut_takes_a_square_where_it_is_told() -> None:
    images = torch.ones(2, 2, 10, 20)
    cleared = cut(images, torch.tensor([1.0, 0.5]), torch.tensor([[0.5, 0.0], [0.25, 1.0]]))
    expected = torch.ones(2, 2, 10, 20)
    expected[0, :, 3:7, 3:7] = 0  # 4 x 4 about (5, 5)
    expected[1, :, :1, 19:] = 0  # 2 x 2 about the corner
    assert torch.allclose(cleared, expected)


def test_cut_takes_a_part_of_pixels_that_are_covered_in_part() -> None:
    cleared = cut(torch.ones(1, 1, 10, 10), torch.tensor([0.625]), torch.tensor([[0.5], [0.5]]))  # 2.5 x 2.5
    assert 100 - cleared.sum().item() == pytest.approx(2.5**2, abs=1e-4)
    assert torch.equal(cut(cleared, torch.zeros(1), torch.rand(2, 1)), cleared)
