"""Boxes: how far they overlap, and which stay of many."""

from __future__ import annotations

import pytest
import torch

from ofa.task.boxes import most_likely, non_maximum_suppression, overlaps
from tests.ofa.task.random_boxes import box


def test_overlaps() -> None:
    one = torch.cat([box(0, 0, 10, 10), box(5, 0, 15, 10), box(3, 3, 3, 3)]).double()
    assert torch.allclose(overlaps(one, one)[0], torch.tensor([1, 1 / 3, 0], dtype=torch.float64))
    assert overlaps(one, one)[2, 2] == 0  # a box of no area overlaps nothing


@pytest.mark.parametrize("seed", range(5))
def test_suppression_is_that_of_a_plain_loop(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corner = 30 * torch.rand(60, 2, generator=generator)
    boxes = torch.cat([corner, corner + 5 + 15 * torch.rand(60, 2, generator=generator)], 1)
    likely, labels = torch.rand(60, generator=generator), torch.randint(2, (60,), generator=generator)
    expected: list[int] = []
    for row in likely.argsort(descending=True).tolist():
        rivals = [kept for kept in expected if labels[kept] == labels[row]]
        if all(overlaps(boxes[row][None], boxes[kept][None]) <= 0.4 for kept in rivals):
            expected.append(row)
    assert non_maximum_suppression(boxes, likely, labels, 0.4).tolist() == expected


def test_the_most_likely_candidates_stay() -> None:
    boxes = torch.cat([box(0, 0, 10, 10), box(0, 0, 10, 11), box(40, 40, 50, 50)])
    likely = torch.tensor([[0.9, 0.3], [0.8, 0.0], [0.005, 0.6]])
    kept = most_likely(boxes, likely, score_threshold=0.01, iou_threshold=0.5, most=10)
    assert kept["labels"].tolist() == [0, 1, 1] and kept["scores"].tolist() == pytest.approx([0.9, 0.6, 0.3])
    fewest = most_likely(boxes, likely, score_threshold=0.01, iou_threshold=0.5, most=1)
    assert torch.equal(fewest["boxes"], boxes[:1])
    assert not len(most_likely(boxes, likely, score_threshold=0.95, iou_threshold=0.5, most=1)["boxes"])
