"""Scenes of shapes: pixels, masks, boxes and kinds tell the same story, the same from the same seed."""

from __future__ import annotations

import math

import pytest
import torch

from ofa.data.scenes import KINDS, Scenes, scenes
from ofa.errors import InvalidInput

PARTS = ("pixels", "masks", "boxes", "kinds")


@pytest.fixture(scope="module")
def drawn() -> Scenes:
    return scenes(300, image_size=48, kinds=5, most=4, seed=1)


def test_shapes_and_types(drawn: Scenes) -> None:
    assert drawn.pixels.shape == (300, 3, 48, 48) and drawn.pixels.dtype == torch.uint8
    assert drawn.masks.shape == (300, 48, 48) and drawn.masks.dtype == torch.int64
    assert drawn.boxes.shape == (300, 4, 4) and drawn.boxes.dtype == torch.float32
    assert drawn.kinds.shape == (300, 4) and drawn.kinds.dtype == torch.int64
    assert scenes(2, channels=1).pixels.shape == (2, 1, 64, 64)


def test_all_kinds_and_counts_occur(drawn: Scenes) -> None:
    assert set(drawn.kinds.unique().tolist()) == {-1, 0, 1, 2, 3, 4}
    assert set((drawn.kinds >= 0).sum(1).tolist()) == {1, 2, 3, 4}
    assert set(drawn.masks.unique().tolist()) == set(range(len(KINDS) + 1))
    assert set(scenes(200, kinds=2).kinds.unique().tolist()) == {-1, 0, 1}


def test_a_box_holds_its_shape_and_no_more(drawn: Scenes) -> None:
    alone = (drawn.kinds >= 0).sum(1) == 1
    for mask, boxes, kinds in zip(drawn.masks[alone], drawn.boxes[alone], drawn.kinds[alone], strict=True):
        slot = int((kinds >= 0).nonzero()[0])
        rows, columns = (mask == kinds[slot] + 1).nonzero(as_tuple=True)
        sides = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert boxes[slot].tolist() == [float(side) for side in sides]
        assert set(mask.unique().tolist()) == {0, int(kinds[slot]) + 1}


def test_boxes_and_masks_agree_on_what_is_seen(drawn: Scenes) -> None:
    for kind in range(len(KINDS)):
        in_masks = (drawn.masks == kind + 1).any(2).any(1)
        assert torch.equal(in_masks, drawn.has[:, kind])
    known = drawn.kinds >= 0
    sizes = drawn.boxes[..., 2:] - drawn.boxes[..., :2]
    assert (sizes[known] > 0).all() and (drawn.boxes[~known] == 0).all()
    assert drawn.boxes.min() >= 0 and drawn.boxes.max() <= 48


@pytest.mark.parametrize(
    ("kind", "share"),
    [("circle", math.pi / 4), ("triangle", 3 * math.sqrt(3) / 4 / 4), ("ring", math.pi * 0.75 / 4)],
)
def test_a_kind_has_the_area_of_its_shape(kind: str, share: float) -> None:
    """Of the square around its circle, whose side is at most 2 * 0.25 and at least 2 * 0.12 of the image's."""
    drawn = scenes(300, image_size=96, kinds=5, most=1, seed=2)
    rows = drawn.kinds[:, 0] == KINDS.index(kind)
    areas = (drawn.masks[rows] > 0).sum((1, 2)) / 96**2 / share
    assert 0.24**2 * 0.9 < areas.min() < 0.3**2 and 0.4**2 < areas.max() < 0.5**2 * 1.1


def test_shapes_stand_out_from_the_background() -> None:
    drawn = scenes(100, most=1, noise=0.0)
    values, shape = drawn.pixels.float() / 255, drawn.masks > 0
    for image, inside in zip(values, shape, strict=True):
        color, background = image[:, inside], image[:, ~inside]
        assert torch.equal(color.amin(1), color.amax(1)) and torch.equal(background.amin(1), background.amax(1))
        assert ((color[:, 0] - background[:, 0]).abs() > 0.34).all()


def test_a_seed_gives_the_same_images_and_more_of_them_begin_alike() -> None:
    few, many, other = scenes(40, seed=5), scenes(300, seed=5), scenes(40, seed=6)
    for part in PARTS:
        assert torch.equal(getattr(few, part), getattr(many, part)[:40])
    assert not torch.equal(few.pixels, other.pixels)
    assert len({image.numpy().tobytes() for image in many.pixels}) == 300


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"count": 0}, "shapes count=0: must be at least 1"),
        ({"kinds": 6}, "shapes kinds=6: must be at least 1 and at most 5"),
        ({"image_size": 8}, "shapes image_size=8: must be at least 16"),
        ({"noise": -1.0}, "shapes noise=-1.0"),
        ({"most": 0}, "shapes most=0"),
        ({"channels": 4}, "shapes channels=4"),
    ],
)
def test_what_is_out_of_range_is_said(arguments: dict[str, float], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        scenes(**{"count": 4, **arguments})  # type: ignore[arg-type]
