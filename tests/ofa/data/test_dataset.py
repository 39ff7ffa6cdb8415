"""Splits and data sets: the bundled digits, the synthetic set, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from ofa.data import Dataset, Preprocessing, Split, digits, synthetic
from ofa.data.splitting import stratified
from ofa.errors import InvalidInput


def all_splits(data: Dataset) -> list[Split]:
    return [data.train, data.validation, data.test]


def test_digits_are_all_there_once_in_three_stratified_parts() -> None:
    data = digits()
    assert [len(split) for split in all_splits(data)] == [1078, 359, 360]
    assert data.input_shape == (1, 8, 8) and data.num_classes == 10
    pixels = torch.cat([split.pixels for split in all_splits(data) if isinstance(split.pixels, Tensor)])
    images, labels = load_digits(return_X_y=True)
    known = sorted([*image, label] for image, label in zip(images.tolist(), labels.tolist(), strict=True))
    mine = zip(pixels.flatten(1).tolist(), torch.cat([s.labels for s in all_splits(data)]).tolist(), strict=True)
    assert sorted([*image, label] for image, label in mine) == known
    for split in all_splits(data):
        shares = torch.bincount(split.labels) / len(split)
        assert (shares - torch.bincount(torch.from_numpy(labels)) / 1797).abs().max() < 0.005


def test_digits_split_is_a_function_of_the_seed() -> None:
    first, same, other = digits(seed=0), digits(seed=0), digits(seed=1)
    assert torch.equal(first.test.images, same.test.images)
    assert not torch.equal(first.test.images, other.test.images)


def test_training_images_are_normalized_and_the_card_says_how() -> None:
    data = digits()
    torch.testing.assert_close(data.train.images.mean(), torch.tensor(0.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(data.train.images.std(), torch.tensor(1.0), atol=1e-3, rtol=0)
    card = json.loads(json.dumps(data.preprocessing))
    assert isinstance(data.test.pixels, Tensor)
    by_hand = (data.test.pixels / card["scale"] - torch.tensor(card["mean"])) / torch.tensor(card["std"])
    torch.testing.assert_close(data.test.images, by_hand)


def test_digits_of_another_size_are_resized() -> None:
    data = digits(image_size=12)
    assert data.train.images.shape == (1078, 1, 12, 12)
    assert data.preprocessing["resize"] != "none"
    small = torch.nn.functional.interpolate(data.test.images, (8, 8), mode="bilinear", antialias=True)
    close = torch.corrcoef(torch.stack([small.flatten(), digits().test.images.flatten()]))
    assert close[0, 1] > 0.95


def test_synthetic_is_learnable_and_seeded() -> None:
    data = synthetic(image_size=10, channels=3, num_classes=5, samples=300, seed=3)
    assert data.input_shape == (3, 10, 10) and data.num_classes == 5
    means = torch.stack([data.train.images[data.train.labels == label].mean(0) for label in range(5)])
    nearest = torch.cdist(data.test.images.flatten(1), means.flatten(1)).argmin(1)
    assert (nearest == data.test.labels).float().mean() > 0.9
    again = synthetic(image_size=10, channels=3, num_classes=5, samples=300, seed=3)
    assert torch.equal(data.train.images, again.train.images)
    other = synthetic(image_size=10, channels=3, num_classes=5, samples=300, seed=4)
    assert not torch.equal(data.train.images, other.train.images)


def test_calibration_images_are_training_images_and_nested() -> None:
    data = synthetic(samples=200)
    many, few = data.calibration(50), data.calibration(20)
    assert torch.equal(many[:20], few)
    assert torch.equal(few, data.calibration(20))
    for image in few:
        assert (data.train.images == image).flatten(1).all(1).any()
    assert len(data.calibration(10_000)) == len(data.train)
    with pytest.raises(InvalidInput, match="images=0"):
        data.calibration(0)


def test_in_order_is_the_stored_order() -> None:
    split = synthetic(samples=100).train
    pieces = list(split.in_order(16))
    assert torch.equal(torch.cat([images for images, _ in pieces]), split.images)
    assert torch.equal(torch.cat([labels for _, labels in pieces]), split.labels)


def test_images_over_the_limit_are_refused() -> None:
    split = Split(torch.zeros(10, 1, 4, 4), torch.zeros(10).long(), Preprocessing(1, (0,), (1,)), memory_limit=639)
    with pytest.raises(InvalidInput, match="over the limit"):
        _ = split.images


def test_stratified_parts_are_disjoint_and_complete() -> None:
    labels = torch.tensor([0] * 50 + [1] * 7 + [2] * 1)
    parts = stratified(labels, {"validation": 0.3, "test": 0.3}, seed=0)
    rows = torch.cat(list(parts.values()))
    assert rows.sort().values.tolist() == list(range(58))
    assert set(labels[parts["train"]].tolist()) == {0, 1, 2}
    assert (labels[parts["validation"]] == 0).sum() == 15


def test_wrong_input_is_refused() -> None:
    preprocessing = Preprocessing(1, (0,), (1,))
    split = Split(torch.zeros(4, 1, 2, 2), torch.tensor([0, 1, 2, 0]), preprocessing)
    large = Split(torch.zeros(4, 1, 3, 3), torch.tensor([0, 1, 2, 0]), preprocessing)
    empty = Split(torch.zeros(0, 1, 2, 2), torch.zeros(0).long(), preprocessing)
    for build, message in [
        (lambda: digits(image_size=3), "image_size=3"),
        (lambda: digits(validation=0.6, test=0.4), "validation=0.6, test=0.4"),
        (lambda: digits(test=0.0), "test=0.0"),
        (lambda: synthetic(samples=5), "samples=5"),
        (lambda: synthetic(channels=0), "channels=0"),
        (lambda: Preprocessing(0, (0,), (1,)), "scale=0"),
        (lambda: Preprocessing(1, (0,), (0,)), "above 0"),
        (lambda: Preprocessing(1, (0, 0), (1,)), "one number per channel"),
        (lambda: Split(torch.zeros(4, 1, 2, 2), torch.zeros(3).long(), preprocessing), "3 labels"),
        (lambda: Dataset("x", split, split, split, num_classes=2), "0 to 1"),
        (lambda: Dataset("x", split, large, split, num_classes=3), "validation inputs are"),
        (lambda: Dataset("x", split, split, empty, num_classes=3), "test split has no examples"),
    ]:
        with pytest.raises(InvalidInput) as error:
            build()
        assert message in str(error.value) and "\n" not in str(error.value)
