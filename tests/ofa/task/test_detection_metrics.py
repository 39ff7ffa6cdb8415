"""Mean average precision of boxes: against hand-worked cases and pycocotools."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
import torch

from ofa.task.detection_metrics import drawn_mean_average_precision, matches, mean_average_precision
from tests.ofa.task.random_boxes import Images, box, random_images


def entries(found: Images, true: Images) -> list[Any]:
    return [matches(one, other["boxes"], other["labels"]) for one, other in zip(found, true, strict=True)]


def by_pycocotools(found: Images, true: Images) -> tuple[float, float, float]:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")

    def row(number: int, image: int, corners: list[float], label: int, **more: float) -> dict[str, Any]:
        x, y, right, bottom = corners
        size = [x, y, right - x, bottom - y]
        return {"id": number, "image_id": image, "category_id": label, "bbox": size, "area": size[2] * size[3], **more}

    annotations = [
        row(0, image, corners, label, iscrowd=0)
        for image, target in enumerate(true)
        for corners, label in zip(target["boxes"].tolist(), target["labels"].tolist(), strict=True)
    ]
    annotations = [{**each, "id": number} for number, each in enumerate(annotations, start=1)]
    results = [
        row(0, image, corners, label, score=score)
        for image, each in enumerate(found)
        for corners, label, score in zip(
            each["boxes"].tolist(), each["labels"].tolist(), each["scores"].tolist(), strict=True
        )
    ]
    known = coco.COCO()
    known.dataset = {
        "images": [{"id": image} for image in range(len(true))],
        "categories": [{"id": label} for label in range(3)],
        "annotations": annotations,
        "info": {},
    }
    with contextlib.redirect_stdout(io.StringIO()):
        known.createIndex()
        evaluation = cocoeval.COCOeval(known, known.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return tuple(evaluation.stats[:3])


@pytest.mark.parametrize("seed", range(8))
def test_mean_average_precision_is_that_of_pycocotools(seed: int) -> None:
    found, true = random_images(seed)
    measured = entries(found, true)
    ours = [mean_average_precision(measured, threshold=threshold) for threshold in (None, 0.5, 0.75)]
    assert ours == pytest.approx(by_pycocotools(found, true), abs=1e-9)
    assert 0.1 < ours[0] < ours[1]


def test_images_drawn_several_times_are_those_images_repeated() -> None:
    found, true = random_images(0)
    for image, each in enumerate(found):
        each["scores"] = each["scores"] + 1e-4 * torch.arange(len(each["scores"])) + 1e-6 * image  # without ties
    measured = entries(found, true)
    times = torch.randint(3, (5, len(measured)), generator=torch.Generator().manual_seed(1))
    for threshold in (None, 0.75):
        expected = [
            mean_average_precision(
                [measured[row] for row in torch.arange(len(each)).repeat_interleave(each)], threshold=threshold
            )
            for each in times
        ]
        assert drawn_mean_average_precision(measured, times, threshold=threshold).tolist() == pytest.approx(expected)
    empty = entries([{"boxes": torch.zeros(0, 4), "scores": torch.zeros(0), "labels": torch.zeros(0)}], true[:1])
    assert torch.isnan(
        drawn_mean_average_precision([*empty, *measured[1:]], torch.zeros(2, 30, dtype=torch.int64))
    ).all()


def test_average_precision_worked_by_hand() -> None:
    """Two true boxes: a hit, a miss, a hit: precision 1 up to recall 1/2, then 2/3: (51 * 1 + 50 * 2 / 3) / 101."""
    true = [{"boxes": torch.cat([box(0, 0, 10, 10), box(20, 20, 30, 30)]), "labels": torch.tensor([0, 0])}]
    boxes = torch.cat([box(0, 0, 10, 10), box(50, 50, 60, 60), box(20, 20, 30, 30)])
    found = [{"boxes": boxes, "scores": torch.tensor([0.9, 0.8, 0.7]), "labels": torch.zeros(3, dtype=torch.int64)}]
    assert mean_average_precision(entries(found, true)) == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_box_is_found_once_and_only_by_its_label() -> None:
    true = [{"boxes": box(0, 0, 10, 10), "labels": torch.tensor([1])}]
    same = {"boxes": box(0, 0, 10, 10).repeat(2, 1), "scores": torch.tensor([0.5, 0.9])}
    (twice,) = entries([{**same, "labels": torch.tensor([1, 1])}], true)
    assert twice.matched[0].tolist() == [True, False] and twice.scores.tolist() == pytest.approx([0.9, 0.5])
    (other,) = entries([{**same, "labels": torch.tensor([0, 2])}], true)
    assert not other.matched.any()
    assert mean_average_precision([other]) == 0


def test_images_without_boxes_count_by_their_false_alarms() -> None:
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    one = {"boxes": box(0, 0, 10, 10), "labels": torch.tensor([0])}
    sure = {**one, "scores": torch.tensor([0.5])}
    alarm = {**one, "scores": torch.tensor([0.9])}
    silent = {**nothing, "scores": torch.zeros(0)}
    assert mean_average_precision(entries([sure, silent], [one, nothing])) == pytest.approx(1)
    assert mean_average_precision(entries([sure, alarm], [one, nothing])) == pytest.approx(0.5)
