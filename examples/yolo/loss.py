"""The loss: places are given to the boxes that they predict best; those learn sides and classes, the others nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from yolo.boxes import corners, flattened, overlaps

NEAREST = 8  # places for each box


def yolo_loss(outputs: Sequence[Tensor], targets: dict[str, Tensor], bins: int = 8) -> Tensor:
    """Returns the loss of the heads' maps against "boxes" (N, M, 4) in pixels and "labels" (N, M), -1 for none.

    Classes by cross entropy, boxes by complete overlap and by the two bins next to a side's distance (2006.04388).
    """
    sides, kinds, places, strides = flattened([output.float() for output in outputs], bins)
    boxes = corners(sides, places, strides)
    with torch.no_grad():
        owner, quality = assigned(boxes, kinds.sigmoid(), places, targets["boxes"], targets["labels"])
    labels = targets["labels"].clamp(min=0).gather(1, owner)
    wanted = functional.one_hot(labels, kinds.shape[-1]) * quality[..., None]
    total = quality.sum().clamp(min=1)
    by_class = functional.binary_cross_entropy_with_logits(kinds, wanted, reduction="sum") / total
    chosen = quality > 0
    weight = quality[chosen]
    true = targets["boxes"].gather(1, owner[..., None].expand(-1, -1, 4))[chosen]
    by_box = ((1 - overlaps(boxes[chosen], true, complete=True)) * weight).sum() / total
    place, stride = places.expand(len(boxes), -1, -1)[chosen], strides.expand(len(boxes), -1)[chosen]
    distances = torch.cat([place - true[:, :2], true[:, 2:] - place], 1) / stride[:, None]
    by_bin = (bin_loss(sides[chosen], distances.clamp(0, bins - 1.01)) * weight).sum() / total
    return by_class + 5 * by_box + by_bin


def bin_loss(sides: Tensor, distances: Tensor) -> Tensor:
    """Returns (K,) cross entropies of (K, 4, bins) logits against distances (K, 4), shared by the bins beside each."""
    low = distances.long()
    share = distances - low
    logits = sides.log_softmax(-1)
    below, above = (logits.gather(-1, index[..., None]).squeeze(-1) for index in (low, low + 1))
    return -(below * (1 - share) + above * share).mean(-1)


def assigned(boxes: Tensor, scores: Tensor, places: Tensor, true: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Returns which true box each place is given to, (N, P), and how well it fits, (N, P), 0 where to none.

    Task-aligned assignment (2108.07755): the places inside a box with the best product of score and overlap.
    """
    known = labels >= 0
    iou = overlaps(true[:, :, None], boxes[:, None]).clamp(min=0)
    score = scores.transpose(1, 2).gather(1, labels.clamp(min=0)[..., None].expand(-1, -1, len(places)))
    inside = torch.cat([places - true[:, :, None, :2], true[:, :, None, 2:] - places], -1).amin(-1) > 0
    fit = score.sqrt() * iou.pow(6) * (inside & known[..., None]) + 1e-9 * (inside & known[..., None])
    least = fit.topk(min(NEAREST, fit.shape[-1]), -1).values[..., -1:]
    candidate = (fit >= least) & (fit > 0)
    overlap = torch.where(candidate, iou, -1.0)
    owner = overlap.argmax(1)
    mine = candidate & (owner[:, None] == torch.arange(true.shape[1], device=true.device)[:, None])
    fit, iou = fit * mine, iou * mine
    quality = fit / fit.amax(-1, keepdim=True).clamp(min=1e-12) * iou.amax(-1, keepdim=True)
    return owner, quality.amax(1)
