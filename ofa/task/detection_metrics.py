"""Mean average precision of boxes, as COCO defines it: 101 points of recall, at most 100 boxes of a class in an image.

Source: Lin et al. 2014, "Microsoft COCO" (1405.0312), and the authors' pycocotools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ofa.task.boxes import overlaps

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))  # of intersection over union
_RECALLS = np.linspace(0.0, 1.0, 101)
_MOST = 100  # boxes of a class in an image, the most likely ones


@dataclass(frozen=True)
class Matches:
    """What one image adds: its true boxes' labels, and each detection with the thresholds at which it finds one.

    Attributes:
        true: (G,) int64.
        labels: (D,) int64.
        scores: (D,) float64, falling within a label.
        matched: (thresholds, D) bool.
    """

    true: NDArray[np.int64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    matched: NDArray[np.bool_]


def matches(detections: dict[str, Tensor], true_boxes: Tensor, true_labels: Tensor) -> Matches:
    """Returns which detections of an image find a true box of their label, the likeliest first, each box once.

    Args:
        detections: boxes (D, 4), scores (D,), labels (D,).
        true_boxes: (G, 4).
        true_labels: (G,).
    """
    boxes, scores = detections["boxes"].detach().double().cpu(), detections["scores"].detach().double().cpu()
    labels = detections["labels"].cpu().long()
    true_boxes, true_labels = true_boxes.double().cpu(), true_labels.cpu().long()
    orders, hits = [], []
    for label in sorted(set(labels.tolist())):
        rows = (labels == label).nonzero()[:, 0]
        rows = rows[scores[rows].argsort(descending=True, stable=True)][:_MOST]
        shares = overlaps(boxes[rows], true_boxes[true_labels == label]).numpy()
        orders.append(rows)
        hits.append(_matched(shares))
    order = torch.cat(orders) if orders else torch.zeros(0, dtype=torch.int64)
    return Matches(
        true_labels.numpy(),
        labels[order].numpy(),
        scores[order].numpy(),
        np.concatenate(hits, axis=1) if hits else np.zeros((len(THRESHOLDS), 0), dtype=bool),
    )


def _matched(shares: NDArray[Any]) -> NDArray[np.bool_]:
    """(thresholds, D): whether each detection, in order, finds a box that is still free, from overlaps (D, G)."""
    limits = np.array(THRESHOLDS)
    hits = np.zeros((len(limits), len(shares)), dtype=bool)
    free = np.ones((len(limits), shares.shape[1]), dtype=bool)
    if not shares.shape[1]:
        return hits
    each = np.arange(len(limits))
    for row, share in enumerate(shares):
        usable = np.where(free, share[None], -1.0)
        best = shares.shape[1] - 1 - usable[:, ::-1].argmax(axis=1)  # the last of equals, as in pycocotools
        hit = usable[each, best] >= limits
        hits[:, row] = hit
        free[each[hit], best[hit]] = False
    return hits


def average_precisions(
    entries: Sequence[Matches], times: NDArray[np.int64], thresholds: slice = slice(None)
) -> dict[int, NDArray[np.float64]]:
    """Returns by label the average precisions (R, thresholds), NaN where no true box of the label was drawn.

    Args:
        entries: of the images.
        times: (R, images): how often each image counts, in each of R draws.
        thresholds: of `THRESHOLDS`.
    """
    scores = np.concatenate([entry.scores for entry in entries])
    order = np.argsort(-scores, kind="stable")
    labels = np.concatenate([entry.labels for entry in entries])[order]
    hits = np.concatenate([entry.matched for entry in entries], axis=1)[thresholds][:, order]
    images = np.arange(len(entries))
    image = np.repeat(images, [len(entry.labels) for entry in entries])[order]
    true = np.concatenate([entry.true for entry in entries])
    true_image = np.repeat(images, [len(entry.true) for entry in entries])
    result = {}
    for label in np.unique(true).tolist():
        rows = labels == label
        boxes = times[:, true_image[true == label]].sum(axis=1)
        result[label] = _average_precision(hits[:, rows], times[:, image[rows]], boxes)
    return result


def _average_precision(
    matched: NDArray[np.bool_], times: NDArray[np.int64], boxes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(R, thresholds): the mean over 101 recalls of the best precision at that recall or more.

    Args:
        matched: (thresholds, D), the likeliest detection first.
        times: (R, D), how often each detection counts.
        boxes: (R,), how many true boxes there are.
    """
    seen = times.cumsum(axis=1)
    finds = matched.any(axis=0)  # precision is best where a box is found: other detections only count as seen
    matched, seen, times = matched[:, finds], seen[:, finds], times[:, finds]
    result = np.full((len(times), len(matched)), np.nan)
    for draw in np.flatnonzero(boxes):
        hits = (matched * times[draw]).cumsum(axis=1)
        precision = hits / np.maximum(seen[draw], 1)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        for row, recall in enumerate(hits / boxes[draw]):
            places = np.searchsorted(recall, _RECALLS, side="left")
            result[draw, row] = best[row, places[places < len(recall)]].sum() / len(_RECALLS)
    return result


def mean_average_precision(entries: Sequence[Matches], *, threshold: float | None = None) -> float:
    """Returns the mean over labels of average precision at a threshold of `THRESHOLDS`, over all of them if None."""
    return float(drawn_mean_average_precision(entries, _once(entries), threshold=threshold)[0])


def drawn_mean_average_precision(
    entries: Sequence[Matches], times: Tensor, *, threshold: float | None = None
) -> Tensor:
    """Returns `mean_average_precision` of images drawn anew, (R,) float64; NaN where no true box was drawn.

    Args:
        times: (R, images): how often each image was drawn.
    """
    first = 0 if threshold is None else THRESHOLDS.index(threshold)
    chosen = slice(first, None if threshold is None else first + 1)
    by_label = [values.mean(axis=1) for values in average_precisions(entries, times.numpy(), chosen).values()]
    if not by_label:
        return torch.full((len(times),), torch.nan, dtype=torch.float64)
    return torch.from_numpy(np.stack(by_label)).nanmean(dim=0)


def _once(entries: Sequence[Matches]) -> Tensor:
    return torch.ones(1, len(entries), dtype=torch.int64)


def rows_of_classes(entries: Sequence[Matches], *, names: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    """Returns a row for each class with a true box: its name, how many boxes it has, and its average precisions."""
    true = np.concatenate([entry.true for entry in entries])
    return tuple(
        {
            "class": names[label] if label < len(names) else str(label),
            "boxes": int((true == label).sum()),
            "map": float(values.mean()),
            "map_50": float(values[0]),
        }
        for label, (values,) in average_precisions(entries, _once(entries).numpy()).items()
    )
