"""True boxes of images as loaders give them: padded to one size, or a list with an entry for each image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.task.batch import Batch
from ofa.task.forms import WHOLE, form, other_tasks

_FORMS = (
    "a list with {'boxes': (M, 4), 'labels': (M,)} for each image, or {'boxes': (images, M, 4), 'labels': (images, M)} "
    "whose labels are -1 where there is no box"
)


def by_image(targets: Any) -> list[tuple[Tensor, Tensor]]:
    """Returns the boxes (M, 4) and the labels (M,) of each image."""
    if isinstance(targets, Mapping):
        real = targets["labels"] >= 0
        return [
            (boxes[present], labels[present])
            for boxes, labels, present in zip(targets["boxes"], targets["labels"], real, strict=True)
        ]
    return [(target["boxes"].reshape(-1, 4), target["labels"]) for target in targets]


def check_boxes(batch: Batch, classes: int | None) -> None:
    """Checks the targets of a batch of images.

    Raises:
        InvalidInput: they are not boxes and labels for each image, corners are in a wrong order, numbers are no
            pixels, or a label is no class.
    """
    targets, count = batch.targets, batch.examples
    entries = [targets] if isinstance(targets, Mapping) else targets
    if not isinstance(entries, list | tuple) or not all(
        isinstance(entry, Mapping) and {"boxes", "labels"} <= entry.keys() for entry in entries
    ):
        raise InvalidInput(f"the targets are {form(targets)}; detection needs {_FORMS}{other_tasks(targets)}")
    for entry in entries:
        boxes, labels = entry["boxes"], entry["labels"]
        if not (isinstance(labels, Tensor) and labels.dtype in WHOLE and isinstance(boxes, Tensor)) or (
            boxes.shape != (*labels.shape, 4) and labels.numel()
        ):
            raise InvalidInput(f"boxes are {form(boxes)} with labels {form(labels)}; detection needs {_FORMS}")
    images = by_image(targets)
    if len(images) != count:
        raise InvalidInput(f"there are boxes of {len(images)} images for {count} images; detection needs {_FORMS}")
    boxes, labels = torch.cat([boxes for boxes, _ in images]), torch.cat([labels for _, labels in images])
    if len(boxes):
        _check_numbers(boxes, batch)
        _check_labels(labels, classes)


def _check_numbers(boxes: Tensor, batch: Batch) -> None:
    if not torch.isfinite(boxes).all():
        raise InvalidInput("a box holds NaN or infinity; detection needs x1, y1, x2, y2 in pixels: leave it out")
    turned = (boxes[:, 2:] < boxes[:, :2]).any(dim=1)
    if turned.any():
        numbers = [round(number, 2) for number in boxes[turned][0].tolist()]
        raise InvalidInput(
            f"the box {numbers} ends before it begins; detection needs x1, y1, x2, y2: convert x, y, width, height"
        )
    size = max(batch.inputs.shape[-2:]) if isinstance(batch.inputs, Tensor) and batch.inputs.dim() == 4 else 0
    if size > 4 and boxes.max() <= 1:
        raise InvalidInput(
            f"all boxes end at {boxes.max().item():.2f} or before in images of {size} pixels; detection needs pixels: "
            "multiply fractions by the images' width and height"
        )


def _check_labels(labels: Tensor, classes: int | None) -> None:
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (classes is not None and high >= classes):
        known = "" if classes is None else f" to {classes - 1}"
        raise InvalidInput(f"the boxes' labels run from {low} to {high}; classes are numbered from 0{known}")
