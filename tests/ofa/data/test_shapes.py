"""Data sets of shapes: the splits, their targets and what is known of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ofa.data import batches, shapes
from ofa.data.checks import check_data
from ofa.data.contents import contents_of
from ofa.data.scenes import scenes
from ofa.data_file import load_data, save_data
from ofa.errors import InvalidInput

SMALL = {"samples": 100, "image_size": 32}


def test_masks_are_of_the_kinds_and_the_background() -> None:
    data = shapes(targets="masks", kinds=2, **SMALL)  # type: ignore[arg-type]
    assert data.num_classes == 3 and data.class_names == ("background", "circle", "square")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [60, 20, 20]
    ((images, masks),) = list(batches(data.train, 60, seed=0, epoch=0))
    assert images.shape == (60, 3, 32, 32) and images.dtype == torch.float32
    assert masks.shape == (60, 32, 32) and set(masks.unique().tolist()) == {0, 1, 2}


def test_boxes_are_those_of_the_scenes_and_stay_with_their_images() -> None:
    data, drawn = shapes(targets="boxes", **SMALL), scenes(100, image_size=32)  # type: ignore[arg-type]
    assert data.num_classes == 3 and data.class_names == ("circle", "square", "triangle")
    assert torch.equal(data.test.targets["boxes"], drawn.boxes[80:])
    ((images, targets), *_) = batches(data.train, 16, seed=3, epoch=1)
    stored = data.train.preprocessing.normalize(data.train.preprocessing.unit(drawn.pixels[:60]))
    for image, boxes, labels in zip(images, targets["boxes"], targets["labels"], strict=True):
        row = int((stored - image).abs().amax((1, 2, 3)).argmin())
        assert torch.equal(boxes, drawn.boxes[row]) and torch.equal(labels, drawn.kinds[row])


def test_labels_say_which_kinds_are_there() -> None:
    data, drawn = shapes(targets="labels", kinds=4, **SMALL), scenes(100, image_size=32, kinds=4)  # type: ignore[arg-type]
    assert data.num_classes is None and data.num_outputs == 4
    assert data.target_names == ("circle", "square", "triangle", "cross")
    assert data.train.targets.dtype == torch.float32
    assert torch.equal(data.train.targets.bool(), drawn.has[:60, :4])


@pytest.mark.parametrize("targets", ["masks", "boxes", "labels"])
def test_a_set_is_told_by_its_content_and_kept_in_a_file(targets: str, tmp_path: Path) -> None:
    first, again, other = (shapes(targets=targets, seed=seed, **SMALL) for seed in (0, 0, 1))  # type: ignore[arg-type]
    assert contents_of(first).digests == contents_of(again).digests != contents_of(other).digests
    assert check_data(first) == []
    save_data(first, tmp_path / "data.safetensors")
    assert contents_of(load_data(tmp_path / "data.safetensors")).digests == contents_of(first).digests


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"targets": "mask"}, "shapes targets='mask' is unknown; did you mean masks"),
        ({"validation": 0.5, "test": 0.5}, "shapes validation=0.5, test=0.5: must be above 0, together below 1"),
        ({"samples": 2}, "shapes samples=2: too few"),
        ({"kinds": 9}, "shapes kinds=9: must be at least 1 and at most 5"),
    ],
)
def test_what_does_not_fit_is_said(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        shapes(**arguments)  # type: ignore[arg-type]
