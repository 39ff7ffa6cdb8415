"""Boxes (x1, y1, x2, y2) in pixels: how far they overlap, and which of many say the same."""

from __future__ import annotations

import torch
from torch import Tensor


def areas(boxes: Tensor) -> Tensor:
    """Returns the area of each box, (...,) from (..., 4); 0 where a corner is before the other."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)


def overlaps(first: Tensor, other: Tensor) -> Tensor:
    """Returns the intersection over union of each pair of boxes, (M, K) from (M, 4) and (K, 4)."""
    low = torch.maximum(first[:, None, :2], other[None, :, :2])
    high = torch.minimum(first[:, None, 2:], other[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    union = areas(first)[:, None] + areas(other)[None] - shared
    return torch.where(union > 0, shared / union, 0.0)


def non_maximum_suppression(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float) -> Tensor:
    """Returns the rows of boxes that stay, (K,) int64, by falling score.

    A box is left out if it overlaps one of a higher score and the same label by more than `iou_threshold`.

    Args:
        boxes: (M, 4).
        scores: (M,).
        labels: (M,).
        iou_threshold: intersection over union.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes, labels = boxes[order].double(), labels[order]
    covers = ((overlaps(boxes, boxes) > iou_threshold) & (labels[:, None] == labels[None])).cpu()
    stays = torch.ones(len(order), dtype=torch.bool)
    for row in range(len(order)):
        if stays[row]:
            stays[row + 1 :] &= ~covers[row, row + 1 :]
    return order[stays.to(order.device)]


def most_likely(
    boxes: Tensor, scores: Tensor, *, score_threshold: float, iou_threshold: float, most: int
) -> dict[str, Tensor]:
    """Returns the detections of one image among many overlapping candidates: boxes (K, 4), scores (K,), labels (K,).

    Args:
        boxes: (candidates, 4).
        scores: (candidates, classes), probabilities.
        score_threshold: candidates up to it are left out.
        iou_threshold: of `non_maximum_suppression`.
        most: detections of an image.
    """
    rows, labels = (scores > score_threshold).nonzero(as_tuple=True)
    likely = scores[rows, labels]
    best = likely.argsort(descending=True, stable=True)[: 10 * most]  # the matrix of overlaps stays small
    rows, labels, likely = rows[best], labels[best], likely[best]
    rows_left = non_maximum_suppression(boxes[rows], likely, labels, iou_threshold)[:most]
    return {"boxes": boxes[rows][rows_left], "scores": likely[rows_left], "labels": labels[rows_left]}
