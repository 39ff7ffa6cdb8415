"""Accuracy is counted rightly, and what is no logits is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ofa._evaluate import evaluate
from ofa.errors import InvalidInput


class Reads(nn.Module):
    """Says that the class of an image is its first pixel."""

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        self.inner = nn.Dropout(0.9)
        self.value = value

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(nn.functional.one_hot(images[:, 0, 0, 0].long(), 4) * self.value)


IMAGES = torch.arange(10).remainder(4).float().view(10, 1, 1, 1)
LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2, 0, 1, 2])  # seven of ten as the images say


@pytest.mark.parametrize("batch_size", [1, 3, 10, 64])
def test_accuracy_is_a_fraction_whatever_the_batch(batch_size):
    assert evaluate(Reads(), IMAGES, LABELS, batch_size=batch_size) == 0.7


def test_batches_of_an_iterable_may_differ_in_size():
    assert evaluate(Reads(), [(IMAGES[:2], LABELS[:2]), (IMAGES[2:], LABELS[2:])]) == 0.7


def test_modes_are_left_as_they_were():
    net = Reads().train()
    net.inner.eval()
    evaluate(net, IMAGES, LABELS)
    assert net.training and not net.inner.training


@pytest.mark.parametrize(
    ("net", "images", "labels", "words"),
    [
        (Reads(math.nan), IMAGES, LABELS, "Reads returns NaN"),
        (Reads(math.inf), IMAGES, LABELS, "Reads returns NaN"),  # 0 * infinity
        (nn.Flatten(0), IMAGES, LABELS, r"Flatten returns shape \(10,\)"),
        (Reads(), IMAGES, LABELS[:4], "10 images with 4 labels"),
        (Reads(), IMAGES, None, "10 images with no labels"),
        (Reads(), IMAGES, LABELS + 100, "labels run from 100"),
        (Reads(), IMAGES, LABELS - 1, "labels run from -1"),
        (Reads(), IMAGES[:0], LABELS[:0], "accuracy of 0 images"),
        (Reads(), [], None, "accuracy of 0 images"),
    ],
)
def test_what_cannot_be_counted_is_refused(net, images, labels, words):
    with pytest.raises(InvalidInput, match=words):
        evaluate(net, images, labels)


def test_batch_size_must_be_positive():
    with pytest.raises(InvalidInput, match="batch_size=0"):
        evaluate(Reads(), IMAGES, LABELS, batch_size=0)
