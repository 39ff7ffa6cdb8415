"""Resizing of images: antialiased, in proportion, of any floating-point type."""

from __future__ import annotations

import pytest
import torch

from ofa.data.resizing import resized_images


def test_the_same_height_is_the_same_object() -> None:
    images = torch.randn(2, 3, 8, 10)
    assert resized_images(images, 8) is images


@pytest.mark.parametrize(("height", "width"), [(4, 5), (6, 8), (16, 20), (1, 1)])
def test_the_width_is_in_proportion(height: int, width: int) -> None:
    assert resized_images(torch.randn(2, 3, 8, 10), height).shape == (2, 3, height, width)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_types_stay(dtype: torch.dtype) -> None:
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    small = resized_images(images.to(dtype), 5)
    assert small.dtype == dtype
    torch.testing.assert_close(small.double(), resized_images(images, 5), rtol=1e-2, atol=1e-2)


def test_stripes_become_gray_and_do_not_alias() -> None:
    stripes = torch.zeros(1, 1, 32, 32)
    stripes[..., ::2] = 1.0  # finer than the small image can show
    assert float((resized_images(stripes, 8) - 0.5).abs().max()) < 0.05


def test_constant_images_and_order_with_normalization_stay() -> None:
    images = torch.rand(2, 3, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(resized_images(images * 3 - 1, 7), resized_images(images, 7) * 3 - 1)
    torch.testing.assert_close(resized_images(torch.full((1, 1, 9, 9), 0.3), 4), torch.full((1, 1, 4, 4), 0.3))
