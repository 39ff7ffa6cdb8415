"""Boxes: from the maps of the heads to corners, overlaps, and the few that are kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

STRIDES = (8, 16, 32)


def flattened(outputs: Sequence[Tensor], bins: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the sides' logits (N, P, 4, bins), the classes' (N, P, classes), places (P, 2) and strides (P,).

    P are the places of all maps, a place is the center of its cell in pixels of the image.
    """
    parts, places, strides = [], [], []
    for stride, output in zip(STRIDES, outputs, strict=True):
        rows, columns = (torch.arange(size, device=output.device) + 0.5 for size in output.shape[2:])
        y, x = torch.meshgrid(rows * stride, columns * stride, indexing="ij")
        places.append(torch.stack([x.flatten(), y.flatten()], 1))
        strides.append(torch.full((len(places[-1]),), float(stride), device=output.device))
        parts.append(output.flatten(2).transpose(1, 2))
    raw = torch.cat(parts, 1)
    sides = raw[..., : 4 * bins].unflatten(2, (4, bins))
    return sides, raw[..., 4 * bins :], torch.cat(places), torch.cat(strides)


def corners(sides: Tensor, places: Tensor, strides: Tensor) -> Tensor:
    """Returns boxes (N, P, 4), left, top, right, bottom in pixels: a side's distance is the mean of its bins."""
    bins = torch.arange(sides.shape[-1], device=sides.device, dtype=sides.dtype)
    distances = (sides.softmax(-1) @ bins) * strides[:, None]
    return torch.cat([places - distances[..., :2], places + distances[..., 2:]], -1)


def overlaps(one: Tensor, other: Tensor, complete: bool = False) -> Tensor:
    """Returns the intersection over union of boxes (..., 4), broadcast; `complete`: less what tells them apart.

    That is the distance of their centers and the difference of their proportions (CIoU, 1911.08287).
    """
    sides = (torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])).clamp(min=0)
    sizes, other_sizes = one[..., 2:] - one[..., :2], other[..., 2:] - other[..., :2]
    common = sides.prod(-1)
    iou = common / (sizes.prod(-1) + other_sizes.prod(-1) - common + 1e-7)
    if not complete:
        return iou
    around = torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])
    apart = (one[..., 2:] + one[..., :2] - other[..., 2:] - other[..., :2]).square().sum(-1) / 4
    angles = [torch.atan(each[..., 0] / (each[..., 1] + 1e-7)) for each in (sizes, other_sizes)]
    shape = (angles[0] - angles[1]).square() * 4 / torch.pi**2
    with torch.no_grad():
        weight = shape / (1 - iou + shape + 1e-7)
    return iou - apart / (around.square().sum(-1) + 1e-7) - weight * shape


def detections(
    outputs: Sequence[Tensor], bins: int = 8, least_score: float = 0.02, overlap: float = 0.6, most: int = 30
) -> list[dict[str, Tensor]]:
    """Returns for each image its `most` best "boxes" (M, 4), with "scores" (M,) and "labels" (M,).

    Of two boxes of a class that overlap more than `overlap`, the one with the better score is kept.
    """
    sides, kinds, places, strides = flattened([output.float() for output in outputs], bins)
    boxes = corners(sides, places, strides)
    best, labels = kinds.sigmoid().max(-1)
    found = []
    for image in range(len(boxes)):
        order = best[image].argsort(descending=True)[: 4 * most]
        order = order[best[image, order] > least_score]
        box, label = boxes[image, order], labels[image, order]
        hides = (overlaps(box[:, None], box[None]) > overlap) & (label[:, None] == label[None])
        kept = torch.ones(len(order), dtype=torch.bool)
        for index in range(len(order)):
            if kept[index]:
                kept[index + 1 :] &= ~hides[index, index + 1 :].cpu()
        rows = kept.nonzero().flatten()[:most].to(order.device)
        found.append({"boxes": box[rows], "scores": best[image, order[rows]], "labels": label[rows]})
    return found
