"""A Dataset of tensors: pixels as they are, splits without an image in two of them, and plain refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ofa.data import from_tensors
from ofa.errors import InvalidInput


def images(count: int = 40, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


def labels(count: int = 40) -> torch.Tensor:
    return torch.arange(count) % 4


def test_floating_point_reaches_the_network_as_it_is() -> None:
    pixels = images() * 7 - 3
    data = from_tensors(pixels, labels(), validation=0.2, test=0.3)
    shown = torch.cat([data.train.images, data.validation.images, data.test.images])
    assert sorted(map(bytes, shown.flatten(1).numpy())) == sorted(map(bytes, pixels.flatten(1).numpy()))
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 8, 12)
    assert data.num_classes == 4 and data.input_shape == (3, 4, 4)


def test_every_image_keeps_its_label() -> None:
    pixels = labels().float()[:, None, None, None].expand(-1, 1, 2, 2).clone()
    data = from_tensors(pixels, labels())
    for split in (data.train, data.validation, data.test):
        assert torch.equal(split.images[:, 0, 0, 0].long(), split.labels)
        assert set(split.labels.tolist()) == {0, 1, 2, 3}


def test_bytes_are_normalized_by_the_training_images() -> None:
    pixels = torch.randint(0, 256, (400, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = from_tensors(pixels, labels(400))
    assert data.train.images.mean((0, 2, 3)).abs().max() < 1e-4
    assert (data.train.images.std((0, 2, 3)) - 1).abs().max() < 1e-2
    assert data.validation.preprocessing == data.train.preprocessing


def test_splits_can_be_given() -> None:
    own = (images(5, seed=1), labels(5))
    data = from_tensors(images().numpy(), labels().numpy().astype(np.int32), validation=own, test=0.2)
    assert torch.equal(data.validation.images, own[0])
    assert (len(data.train), len(data.test)) == (32, 8)
    data = from_tensors(images(), labels(), validation=own, test=own)
    assert torch.equal(data.train.images, images())


def test_the_cut_is_a_function_of_the_seed() -> None:
    same = [from_tensors(images(), labels(), seed=3).test.images for _ in range(2)]
    assert torch.equal(*same)
    assert not torch.equal(same[0], from_tensors(images(), labels(), seed=4).test.images)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"images": images()[0]}, r"images of shape \(3, 4, 4\) and torch\.float32: give \(N, C, H, W\)"),
        ({"images": images().long()}, r"torch\.int64: give \(N, C, H, W\), floating point or uint8"),
        ({"images": "photos/"}, r"images and labels are str and Tensor; give tensors or arrays"),
        ({"labels": labels(39)}, r"labels of shape \(39,\) and torch\.int64 for 40 images"),
        ({"labels": labels().float()}, r"give one whole number for each image"),
        ({"labels": labels() - 1}, r"labels run from -1"),
        ({"validation": 0.6, "test": 0.6}, r"together they must be below 1"),
        ({"validation": 5}, r"validation=5 must be a fraction, such as 0\.2, or a pair"),
        ({"test": (images(4).double(), labels(4))}, r"test images are torch\.float64, training images torch\.float32"),
        ({"class_names": ["a", "b"]}, r"2 classes are numbered 0 to 1"),
    ],
)
def test_what_cannot_be_data_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        from_tensors(**{"images": images(), "labels": labels(), **given})
