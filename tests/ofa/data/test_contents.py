"""What changed in a data set, in words; and what is refused or said about one that is loaded."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ofa.data import Dataset, Preprocessing, Split, digits, from_arrays, synthetic
from ofa.data.checks import check_data
from ofa.data.contents import changes, contents_of
from ofa.errors import InvalidInput

HOW = Preprocessing(255, (0.5,), (0.25,))


def images(count: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (count, 1, 4, 4), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def split(count: int, seed: int) -> Split:
    return Split(images(count, seed), torch.arange(count) % 3, HOW)


@pytest.fixture
def data() -> Dataset:
    return Dataset("mine", split(30, 1), split(12, 2), split(12, 3), 3, ("ant", "bee", "cow"))


def part_of(whole: Split, rows: Tensor) -> Split:
    return Split(whole.stored(rows), whole.labels[rows], HOW)


def test_what_was_added_what_is_gone_and_changed_labels_are_counted_by_split(data: Dataset) -> None:
    before = contents_of(data)
    more = Split(torch.cat([images(30, 1), images(40, 9)]), torch.arange(70) % 3, HOW)
    fewer = part_of(data.test, torch.arange(9))
    labels = data.validation.labels.clone()
    labels[:2] = (labels[:2] + 1) % 3
    now = replace(data, train=more, test=fewer, validation=replace(data.validation, targets=labels))
    assert changes(before, contents_of(now)) == "train 40 added; validation 2 labels changed; test 3 gone"
    assert changes(before, before) == "" == changes(before, contents_of(replace(data, name="other")))


def test_copies_count_and_so_does_the_order(data: Dataset) -> None:
    before = contents_of(data)
    twice = part_of(data.train, torch.arange(30).repeat(2))
    assert changes(before, contents_of(replace(data, train=twice))) == "train 30 added"
    turned = part_of(data.train, torch.arange(30).flip(0))
    assert changes(before, contents_of(replace(data, train=turned))) == "the same images are in another order"


def test_a_new_class_does_not_make_other_labels_look_changed(data: Dataset) -> None:
    before = contents_of(data)
    splits = {part: replace(getattr(data, part), targets=getattr(data, part).labels + 1) for part in ("train", "test")}
    splits["validation"] = replace(data.validation, targets=data.validation.labels + 1)
    now = replace(data, **splits, num_classes=4, class_names=("aardvark", "ant", "bee", "cow"))
    assert changes(before, contents_of(now)) == "1 classes added (aardvark)"


def test_pixels_that_change_by_one_are_another_sample(data: Dataset) -> None:
    before = contents_of(data)
    assert isinstance(data.train.pixels, Tensor)
    data.train.pixels[4, 0, 0, 0] ^= 1
    again = replace(data, train=replace(data.train, memory_limit=1))  # computed anew
    assert changes(before, contents_of(again)) == "train 1 added, 1 gone"


def test_sound_data_has_no_notes(data: Dataset) -> None:
    assert [check_data(data), check_data(digits()), check_data(synthetic())] == [[], [], []]


def test_images_that_do_not_vary_are_refused(data: Dataset) -> None:
    black = replace(data, train=Split(torch.zeros(30, 1, 4, 4, dtype=torch.uint8), data.train.labels, HOW))
    with pytest.raises(InvalidInput, match="training images do not vary, every pixel is 0"):
        check_data(black)
    same = replace(data, train=Split(images(1).expand(30, 1, 4, 4), data.train.labels, HOW))
    with pytest.raises(InvalidInput, match="all are the same"):
        check_data(same)
    assert isinstance(data.validation.pixels, Tensor)
    data.validation.pixels[:5] = torch.arange(5, dtype=torch.uint8)[:, None, None, None]
    assert check_data(data) == ["5 of 12 validation images looked at are of one value, such as all black"]


def test_labels_that_do_not_vary_are_refused(data: Dataset) -> None:
    constant = replace(data, train=replace(data.train, targets=torch.ones(30, dtype=torch.int64)))
    with pytest.raises(InvalidInput, match="every training image has the label 'bee'"):
        check_data(constant)
    two = replace(data, train=replace(data.train, targets=torch.arange(30) % 2))
    assert check_data(two) == ["1 of 3 classes have no training image ('cow')"]
    tested = replace(data, test=replace(data.test, targets=torch.zeros(12, dtype=torch.int64)))
    assert check_data(tested) == ["every test image has the label 'ant'"]


def test_images_in_two_splits_are_said_or_refused(data: Dataset) -> None:
    assert isinstance(data.test.pixels, Tensor)
    pixels = data.test.pixels.clone()
    pixels[:4] = images(30, 1)[5:9]
    some = replace(data, test=Split(pixels, data.test.labels, HOW))
    assert check_data(some) == ["4 of 12 test images are training images too, and are judged too well"]
    with pytest.raises(InvalidInput, match="all 30 test images are training images too"):
        check_data(replace(data, test=data.train))


def test_rows_that_are_no_images_are_called_examples() -> None:
    rows, targets = torch.arange(40.0).repeat(2)[:, None] + torch.arange(3.0), torch.arange(80.0)
    noted = " ".join(check_data(from_arrays(rows, targets)))
    assert "examples are training examples too" in noted and "image" not in noted
