"""What a CenterNet learns from boxes, and the boxes that it answers with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

CELL = 4  # pixels along a side of a place
SPREAD = 0.15  # standard deviation of a center's hill, a fraction of the box's sides
SIDES_WEIGHT = 2.0


def center_loss(outputs: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Returns the loss of a CenterNet's map against boxes, the mean over boxes, a scalar.

    Classes by a focal loss whose penalty is less near a center (Law and Deng 2018, 1808.01244, equation 1); sides by
    the generalized overlap (Rezatofighi et al. 2019, 1902.09630) in the places around a center that are inside the box.

    Args:
        outputs: (N, classes + 4, H, W), see `ofa.models.CenterNet`.
        targets: "boxes" (N, M, 4), left, top, right, bottom in pixels, and "labels" (N, M) int64, -1 where there are
            fewer boxes.
    """
    outputs = outputs.float()
    logits, sides = outputs[:, :-4].flatten(2), outputs[:, -4:].flatten(2).transpose(1, 2)
    boxes, labels = targets["boxes"].float(), targets["labels"]
    places = _places(outputs)
    known = labels >= 0
    count = known.sum().clamp(min=1)
    centers, sizes = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]).clamp(min=1.0)
    cells = _place_of(centers, outputs.shape)
    apart = (places - places[cells][:, :, None]) / (SPREAD * sizes[:, :, None]).clamp(min=CELL / 2)
    hills = torch.exp(-apart.square().sum(-1) / 2) * known[..., None]  # (N, M, places)
    heat = torch.zeros_like(logits)
    heat.scatter_reduce_(1, labels.clamp(min=0)[..., None].expand_as(hills), hills, "amax")
    by_class = _focal(logits, heat) / count

    owner, chosen = _owners(places, boxes, centers, known)
    if not chosen.any():
        return by_class + 0 * sides.sum()
    true = boxes.gather(1, owner[..., None].expand(-1, -1, 4))[chosen]
    predicted = _corners(sides, places)[chosen]
    return by_class + SIDES_WEIGHT * (1 - _generalized_overlap(predicted, true)).mean()


def center_boxes(outputs: Tensor, *, most: int = 20, least_score: float = 0.02) -> list[dict[str, Tensor]]:
    """Returns for each image its `most` best "boxes" (K, 4), with "scores" (K,) and "labels" (K,), best first.

    A box is where a class has a higher score than in the eight places around, so that none is found twice.
    """
    outputs = outputs.detach().float()
    heat = outputs[:, :-4].sigmoid()
    peaks = torch.where(heat == functional.max_pool2d(heat, 3, 1, 1), heat, 0).flatten(1)
    boxes = _corners(outputs[:, -4:].flatten(2).transpose(1, 2), _places(outputs))
    places = boxes.shape[1]
    scores, order = peaks.topk(min(most, peaks.shape[1]), dim=1)
    return [
        {"boxes": box[index[good] % places], "scores": score[good], "labels": index[good] // places}
        for box, score, index in zip(boxes, scores, order, strict=True)
        for good in [score > least_score]
    ]


def _places(outputs: Tensor) -> Tensor:
    """The center of each place in pixels, (H * W, 2)."""
    rows, columns = (torch.arange(size, device=outputs.device) * CELL + CELL / 2 for size in outputs.shape[2:])
    down, across = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([across.flatten(), down.flatten()], 1)


def _place_of(points: Tensor, shape: torch.Size) -> Tensor:
    """The place that each point (..., 2) is in."""
    height, width = shape[2:]
    across = (points[..., 0] / CELL).long().clamp(0, width - 1)
    down = (points[..., 1] / CELL).long().clamp(0, height - 1)
    return down * width + across


def _corners(sides: Tensor, places: Tensor) -> Tensor:
    """Boxes (N, places, 4) of the last four channels."""
    distances = CELL * functional.softplus(sides)
    return torch.cat([places - distances[..., :2], places + distances[..., 2:]], -1)


def _focal(logits: Tensor, heat: Tensor) -> Tensor:
    """The sum over all places: centers have a heat of 1."""
    scores = logits.sigmoid()
    hits = (1 - scores).square() * functional.logsigmoid(logits)
    misses = (1 - heat).pow(4) * scores.square() * functional.logsigmoid(-logits)
    return -torch.where(heat >= 1 - 1e-6, hits, misses).sum()


def _owners(places: Tensor, boxes: Tensor, centers: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """For each place the smallest box that has it near its center and inside, (N, places), and whether there is one."""
    near = (places - centers[:, :, None]).abs().amax(-1) <= 1.5 * CELL
    inside = torch.cat([places - boxes[:, :, None, :2], boxes[:, :, None, 2:] - places], -1).amin(-1) > 0
    fits = near & inside & known[..., None]
    sizes = (boxes[..., 2:] - boxes[..., :2]).prod(-1)[..., None]
    area = torch.where(fits, sizes, torch.inf)
    least, owner = area.min(1)
    return owner, torch.isfinite(least)


def _generalized_overlap(boxes: Tensor, true: Tensor) -> Tensor:
    """(K,) from -1 to 1."""
    common = (torch.minimum(boxes[:, 2:], true[:, 2:]) - torch.maximum(boxes[:, :2], true[:, :2])).clamp(min=0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (true[:, 2:] - true[:, :2]).prod(1) - common
    around = (torch.maximum(boxes[:, 2:], true[:, 2:]) - torch.minimum(boxes[:, :2], true[:, :2])).prod(1)
    return common / areas - (around - areas) / around
