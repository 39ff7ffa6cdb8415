"""Masks and boxes move with their images: what is drawn into an image stays under its mask and in its box."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from ofa.data import Dataset, Preprocessing, Split, batches, from_dataset
from ofa.data.augment import compose, cutout, horizontal_flip, random_shift
from ofa.data.joint_augment import each, flip, scale, shift
from ofa.data.rand_augment import rand_augment
from ofa.errors import InvalidInput

SIZE, COUNT = (24, 30), 40
MOVES: dict[str, Any] = {
    "flip": flip,
    "shift": partial(shift, pixels=6),
    "larger": partial(scale, least=1.2, most=1.8),
    "smaller": partial(scale, least=0.5, most=0.9),
    "all": partial(each, steps=[flip, partial(shift, pixels=3), partial(scale, least=0.7, most=1.4)]),
}


def scenes() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images with two rectangles each, 0.5 and 1.0 bright; masks, boxes (N, 3, 4) and labels, -1 for the third."""
    generator = torch.Generator().manual_seed(0)
    images = torch.zeros(COUNT, 1, *SIZE)
    boxes = torch.zeros(COUNT, 3, 4)
    for row in range(COUNT):
        for number in range(2):
            high, wide = torch.randint(4, 9, (2,), generator=generator).tolist()
            top = int(torch.randint(0, SIZE[0] - high, (1,), generator=generator))
            left = int(torch.randint(number * 15, number * 15 + 15 - wide, (1,), generator=generator))
            images[row, 0, top : top + high, left : left + wide] = (number + 1) / 2
            boxes[row, number] = torch.tensor([left, top, left + wide, top + high])
    labels = torch.tensor([0, 1, -1]).repeat(COUNT, 1)
    return images, (images[:, 0] * 2).long(), boxes, labels


def drawn(name: str, targets: Any, images: Tensor) -> tuple[Tensor, Any]:
    return MOVES[name](images, targets, torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", MOVES)
def test_masks_stay_under_what_they_mask(name: str) -> None:
    images, masks, _, _ = scenes()
    moved, under = drawn(name, masks, images)
    assert moved.shape == images.shape and under.dtype == masks.dtype and not torch.equal(moved, images)
    inside = (moved[:, 0] * 2).round().long()
    share = (inside == under).float().mean()
    assert share == 1 if name in ("flip", "shift") else share > 0.97  # interpolated at the rims


@pytest.mark.parametrize("name", MOVES)
def test_boxes_enclose_what_they_enclosed(name: str) -> None:
    images, _, boxes, labels = scenes()
    moved, found = drawn(name, {"boxes": boxes, "labels": labels, "count": 7}, images)
    assert found["count"] == 7 and found["boxes"].shape == boxes.shape and set(found["labels"][:, 2].tolist()) == {-1}
    checked = 0
    for row in range(COUNT):
        for number in range(2):
            left, top, right, bottom = found["boxes"][row, number].tolist()
            if found["labels"][row, number] < 0:
                assert (left, top, right, bottom) == (0, 0, 0, 0)
                continue
            assert 0 <= left < right <= SIZE[1] and 0 <= top < bottom <= SIZE[0]
            if (right - left) < 3 or (bottom - top) < 3:
                continue
            value = moved[row, 0, int((top + bottom) / 2), int((left + right) / 2)]
            assert value == pytest.approx((number + 1) / 2, abs=0.05)
            checked += 1
    assert checked > COUNT


@pytest.mark.parametrize("name", MOVES)
def test_a_list_by_image_is_moved_as_padded_boxes_are(name: str) -> None:
    images, _, boxes, labels = scenes()
    counts = [row % 3 for row in range(COUNT)]
    padded = labels.clone()
    for row, count in enumerate(counts):
        padded[row, count:] = -1
    listed = [
        {"boxes": boxes[row, :count], "labels": labels[row, :count], "name": str(row)}
        for row, count in enumerate(counts)
    ]
    moved, one = drawn(name, {"boxes": boxes, "labels": padded}, images)
    again, other = drawn(name, listed, images)
    assert torch.equal(moved, again)
    for row, entry in enumerate(other):
        kept = one["labels"][row] >= 0
        assert torch.equal(entry["boxes"], one["boxes"][row][kept]) and torch.equal(
            entry["labels"], one["labels"][row][kept]
        )
        assert entry["name"] == str(row)


def test_what_comes_from_outside_and_what_is_hardly_seen() -> None:
    images = torch.ones(30, 1, 10, 10)
    masks = torch.ones(30, 10, 10, dtype=torch.int64)
    moved, under = shift(images, masks, torch.Generator().manual_seed(0), pixels=5, outside=255)
    assert torch.equal(under == 255, moved[:, 0] == 0) and set(under.unique().tolist()) == {1, 255}
    smaller, under = scale(images, masks, torch.Generator().manual_seed(0), least=0.5, most=0.6, outside=-100)
    assert set(under.unique().tolist()) == {1, -100} and float(smaller.min()) == 0
    corner = {"boxes": torch.tensor([[[0.0, 0.0, 4.0, 4.0]]]).repeat(30, 1, 1), "labels": torch.zeros(30, 1).long()}
    for least, expected in ((0.0, 1), (0.99, 4)):
        _, found = shift(images, corner, torch.Generator().manual_seed(0), pixels=3, least_visible=least)
        kept = found["boxes"][found["labels"] >= 0]
        area = (kept[:, 2] - kept[:, 0]) * (kept[:, 3] - kept[:, 1])
        assert float(area.min()) >= 16 * least and (expected == 4) == bool((found["labels"] < 0).any())


def test_nothing_moves_where_the_strength_is_none() -> None:
    images, masks, boxes, labels = scenes()
    still = [partial(flip, probability=0.0), partial(shift, pixels=0), partial(scale, least=1.0, most=1.0)]
    for move in still:
        moved, (under, found) = move(
            images, (masks, {"boxes": boxes, "labels": labels}), torch.Generator().manual_seed(0)
        )
        torch.testing.assert_close(moved, images, atol=1e-5, rtol=0)
        assert torch.equal(under, masks) and torch.equal(found["labels"], labels)
        torch.testing.assert_close(found["boxes"], boxes)


def split() -> Split:
    images, masks, _, _ = scenes()
    return Split(images, masks, Preprocessing(1.0, (0.0,), (1.0,)))


def test_batches_move_both_and_are_the_same_from_any_step() -> None:
    settings = {"seed": 1, "epoch": 2, "augment": MOVES["all"]}
    whole = list(batches(split(), 8, **settings))
    rest = list(batches(split(), 8, start=3, **settings))
    assert len(whole) == 5
    for (images, masks), (same, same_masks) in zip(whole[3:], rest, strict=True):
        assert torch.equal(images, same) and torch.equal(masks, same_masks)
    for images, masks in whole:
        assert ((images[:, 0] * 2).round().long() == masks).float().mean() > 0.97
    loaded = from_dataset(list(zip(split().pixels, split().targets, strict=True)), outputs=3)  # type: ignore[arg-type]
    images, masks = next(iter(batches(loaded.train, 8, **settings)))
    assert ((images[:, 0] * 2).round().long() == masks).float().mean() > 0.97


@pytest.mark.parametrize(
    "augment",
    [
        horizontal_flip,
        partial(random_shift, pixels=1),
        rand_augment,
        partial(compose, steps=[partial(cutout, size=2), horizontal_flip]),
        partial(each, steps=[flip, partial(random_shift, pixels=1)]),
    ],
)
def test_what_moves_images_alone_is_refused(augment: Any) -> None:
    with pytest.raises(
        InvalidInput, match=r"moves an image and not its masks or boxes; use ofa\.data\.joint_augment\."
    ):
        batches(split(), 8, seed=0, epoch=0, augment=augment)
    of_labels = Split(split().pixels, torch.zeros(COUNT).long(), split().preprocessing)
    assert len(list(batches(of_labels, 8, seed=0, epoch=0, augment=augment))) == 5


def test_what_changes_no_places_is_taken() -> None:
    held = split()
    data = Dataset("x", held, held, held, num_classes=3)
    images, masks = next(iter(batches(data.train, COUNT, seed=0, epoch=0, augment=partial(cutout, size=4))))
    assert set(masks.unique().tolist()) == {0, 1, 2} and images.shape == held.pixels.shape


@pytest.mark.parametrize(
    ("augment", "said"),
    [
        (partial(flip, probability=2), "flip probability=2"),
        (partial(shift, pixels=-1), "shift pixels=-1"),
        (partial(scale, least=1.5, most=1.0), "scale least=1.5, most=1.0"),
    ],
)
def test_wrong_strengths_are_refused(augment: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        augment(scenes()[0], None, torch.Generator())
