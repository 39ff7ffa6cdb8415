"""One case of every shipped task: how it is made, and outputs and targets that fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ofa import task as shipped
from ofa.task import Batch, Task

GENERATOR = torch.Generator().manual_seed(0)
EXAMPLES = 24


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR)


def whole(below: int, *shape: int) -> Tensor:
    return torch.randint(below, shape, generator=GENERATOR)


@dataclass(frozen=True)
class Case:
    """A task, outputs of a network for EXAMPLES examples, its targets, and targets that do not fit.

    Attributes:
        make: data -> Task.
        outputs: leaves that need gradients are made of it.
        targets: see Batch.
        bad: targets, each with a part of the message that refuses it.
        even: whether the loss of a batch is the mean of the losses of its halves.
    """

    make: Callable[[Any], Task]
    outputs: Any
    targets: Any
    bad: tuple[tuple[Any, str], ...]
    even: bool = True

    @property
    def data(self) -> Any:
        train = SimpleNamespace(targets=self.targets)
        return SimpleNamespace(num_classes=4, class_names=("a", "b", "c", "d"), train=train, bytes_per_token=1.0)

    @property
    def task(self) -> Task:
        return self.make(self.data)

    @property
    def batch(self) -> Batch:
        return Batch(torch.arange(EXAMPLES), self.targets)


def detector_loss(outputs: dict[str, Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Moves the first candidate of every image to its first box."""
    true = torch.stack([target["boxes"][0] for target in targets])
    return {
        "box": (outputs["boxes"][:, 0].float() - true).abs().mean() / 10,
        "score": -outputs["logits"].float().mean(),
    }


def candidates(outputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    return outputs["boxes"], outputs["logits"].sigmoid()


def some_boxes(count: int) -> Tensor:
    corner = 20 * torch.rand(count, 2, generator=GENERATOR)
    return torch.cat([corner, corner + 4 + 8 * torch.rand(count, 2, generator=GENERATOR)], dim=1).round()


def detected() -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
    """Outputs of five candidates an image of four classes, and one to three true boxes that some of them find."""
    targets, boxes, logits = [], [], []
    for image in range(EXAMPLES):
        true = some_boxes(1 + image % 3)
        labels = whole(4, len(true))
        found = torch.cat([true + normal(len(true), 4).round(), some_boxes(5 - len(true))])
        scores = normal(5, 4)
        scores[torch.arange(len(true)), labels] += 2
        targets.append({"boxes": true, "labels": labels})
        boxes.append(found)
        logits.append(scores)
    return {"boxes": torch.stack(boxes), "logits": torch.stack(logits)}, targets


LABELS = torch.arange(EXAMPLES) % 4
MANY = whole(2, EXAMPLES, 4)
MASKS = whole(4, EXAMPLES, 6, 8)
TOKENS = whole(4, EXAMPLES, 7)
FOUND, BOXES = detected()
NUMBERS = 100 + 10 * normal(EXAMPLES)

CASES = {
    "classification": Case(
        partial(
            shipped.classification,
            metrics=["accuracy", "balanced_accuracy", "macro_f1", "cross_entropy", "calibration_error"],
        ),
        normal(EXAMPLES, 4),
        LABELS,
        ((None, "missing"), (LABELS.float(), "task=regression"), (LABELS + 3, "run from 3 to 6"), (MANY, "multilabel")),
    ),
    "sequence_classification": Case(
        shipped.sequence_classification,
        {"logits": normal(EXAMPLES, 4), "hidden": normal(EXAMPLES, 3)},
        LABELS,
        ((None, "missing"),),
    ),
    "multilabel": Case(
        partial(
            shipped.multilabel,
            pos_weight="balanced",
            metrics=[
                "macro_f1",
                "micro_f1",
                "mean_average_precision",
                "exact_match",
                "hamming_loss",
                "binary_cross_entropy",
            ],
        ),
        2 * MANY - 1 + normal(EXAMPLES, 4),
        MANY,
        ((None, "missing"), (LABELS, "task=classification"), (MANY * 3, "run from 0 to 3"), (MANY[:, :3], "(24, 4)")),
    ),
    "regression": Case(
        partial(shipped.regression, standardize=True, unit="mm"),
        normal(EXAMPLES, 1),
        NUMBERS,
        ((None, "missing"), (NUMBERS / 0, "NaN or infinity"), (MANY, "multilabel"), (MASKS, "task=segmentation")),
    ),
    "segmentation": Case(
        partial(
            shipped.segmentation,
            dice=0.0,
            metrics=["mean_iou", "mean_dice", "pixel_accuracy", "mean_class_accuracy"],
        ),
        {"out": normal(EXAMPLES, 4, 3, 4)},
        MASKS,
        ((None, "missing"), (MASKS.float(), "class number for each pixel"), (MASKS + 1, "run from 1 to 4")),
    ),
    "language_model": Case(
        partial(
            shipped.language_model,
            metrics=["perplexity", "bits_per_byte", "bits_per_token", "cross_entropy", "token_accuracy"],
        ),
        normal(EXAMPLES, 7, 4),
        TOKENS,
        (
            (TOKENS.float(), "a token for each position"),
            (TOKENS[:, :5], "(24, 7) torch.int64"),
            (TOKENS + 1, "run from 1 to 4"),
            (LABELS, "task=classification"),
        ),
    ),
    "detection": Case(
        partial(shipped.detection, loss=detector_loss, decode=candidates, distill="outputs"),
        FOUND,
        BOXES,
        (
            (None, "missing"),
            (LABELS, "{'boxes': (M, 4), 'labels': (M,)} for each image"),
            (BOXES[:5], "boxes of 5 images for 24 images"),
            ([{**target, "labels": target["labels"] + 4} for target in BOXES], "classes are numbered from 0 to 3"),
            ([{**target, "boxes": target["boxes"].flip(1)} for target in BOXES], "ends before it begins"),
            ([{**target, "labels": target["labels"].float()} for target in BOXES], "labels (1,) torch.float32"),
        ),
    ),
    "own_loss": Case(
        partial(shipped.own_loss, judge=shipped.classification),
        {"loss": torch.tensor(1.5), "logits": normal(EXAMPLES, 4)},
        LABELS,
        ((None, "missing"), (LABELS + 3, "run from 3 to 6")),
    ),
}
