"""Segmentation: the class of every pixel, from logits (N, classes, H, W)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ofa.errors import InvalidInput, is_number
from ofa.inputs import logits_of
from ofa.task import class_counts
from ofa.task._classification import check_temperature
from ofa.task.batch import Batch
from ofa.task.choosing import chosen, pairs_of
from ofa.task.classification_metrics import share
from ofa.task.detail import Detail
from ofa.task.facts import checked_weights, class_count, class_names, training_targets
from ofa.task.forms import WHOLE, check_outputs, check_range, check_targets
from ofa.task.losses import full_precision, soft_cross_entropy
from ofa.task.metric import Metric
from ofa.task.task import Task


def segmentation(
    data: Any = None,
    *,
    metrics: Sequence[str | Metric] = ("mean_iou", "pixel_accuracy"),
    class_weights: Sequence[float] | Literal["balanced"] | None = None,
    dice: float = 0.0,
    ignore_index: int = 255,
    temperature: float = 1.0,
    num_classes: int | None = None,
) -> Task:
    """Returns the task of naming the class of every pixel, from logits (N, classes, H, W) and masks (N, H, W).

    Logits of another height and width are resized to the masks' bilinearly. The outputs are a tensor, an object with
    `logits`, or a dictionary with "out". The loss is the mean cross entropy of the pixels that count.
    Metrics: mean_iou (over classes that occur or are named), mean_dice, pixel_accuracy, mean_class_accuracy.

    Args:
        data: a data set with `num_classes` and perhaps `class_names`.
        metrics: names as above, or Metrics; the objective first.
        class_weights: of the cross entropy, one for each class; "balanced": from the pixels of the training split.
        dice: weight of the soft Dice loss (Milletari et al. 2016, 1606.04797) that is added.
        ignore_index: pixels of this class count nowhere.
        temperature: of both softmaxes of distillation.
        num_classes: how many.

    Raises:
        InvalidInput: an unknown metric, or an argument out of range.
    """
    if not is_number(dice) or dice < 0:
        raise InvalidInput(f"dice={dice!r} is a weight: a number of at least 0")
    check_temperature(temperature)
    classes = class_count(data, num_classes)
    names = () if classes is None else class_names(data, classes)
    if class_weights == "balanced":
        masks = training_targets(data, "class_weights='balanced'")
        weights: tuple[float, ...] | None = _balanced(masks[masks != ignore_index], classes)
    else:
        weights = None if class_weights is None else checked_weights("class_weights", class_weights, classes, "classes")
    counts = partial(_counts, ignore=ignore_index)
    offered = (
        Metric(name="mean_iou", statistics=counts, value=class_counts.mean_union, unit="%", label="mean IoU"),
        Metric(name="mean_dice", statistics=counts, value=class_counts.mean_f1, unit="%", label="mean Dice"),
        Metric(
            name="pixel_accuracy",
            statistics=partial(_right, ignore=ignore_index),
            value=share,
            unit="%",
        ),
        Metric(name="mean_class_accuracy", statistics=counts, value=class_counts.mean_recall, unit="%"),
    )
    return Task(
        name="segmentation",
        loss=partial(_loss, weights=weights, dice=float(dice), ignore=ignore_index),
        metrics=chosen(
            metrics,
            {metric.name: metric for metric in offered},
            "segmentation",
            partial(pairs_of, predictions=_classes),
        ),
        distill=partial(_distill, temperature=temperature),
        check=partial(_check, classes=classes, ignore=ignore_index),
        checks_batches=True,
        constant=partial(_constant, classes=classes, ignore=ignore_index),
        details=(Detail(name="classes", statistics=counts, rows=partial(_rows, names=names), units=_PERCENT),),
        predictions=_classes,
        terms=partial(_counted, weights=weights, ignore=ignore_index),
    )


_PERCENT = {"iou": "%", "recall": "%", "precision": "%"}


def _counted(batch: Batch, *, weights: tuple[float, ...] | None, ignore: int) -> Tensor:
    """The pixels that count, each as often as its class's weight says."""
    masks: Tensor = batch.targets[batch.targets != ignore].long()
    return torch.tensor(float(masks.numel())) if weights is None else torch.tensor(weights)[masks.cpu()].sum()


def _balanced(labels: Tensor, classes: int | None) -> tuple[float, ...]:
    counts = torch.bincount(labels.flatten().long().cpu(), minlength=classes or 0).clamp(min=1)
    return tuple((labels.numel() / (len(counts) * counts.double())).tolist())


def _logits(outputs: Any) -> Tensor:
    return logits_of(outputs["out"] if isinstance(outputs, Mapping) and "out" in outputs else outputs)


def _resized(outputs: Any, size: Sequence[int]) -> Tensor:
    logits = full_precision(_logits(outputs))
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    resized: Tensor = functional.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)
    return resized


def _loss(outputs: Any, batch: Batch, *, weights: tuple[float, ...] | None, dice: float, ignore: int) -> Tensor:
    masks = batch.targets.long()
    logits = _resized(outputs, masks.shape[-2:])
    labeled = masks != ignore
    labels = masks.masked_fill(~labeled, 0)
    each = functional.cross_entropy(logits, labels, reduction="none")
    shares = labeled.to(each)
    if weights is not None:
        shares = shares * logits.new_tensor(weights)[labels]
    # A batch in which no pixel counts has the loss 0 instead of 0 / 0.
    loss: Tensor = (each * shares).sum() / shares.sum().clamp(min=torch.finfo(each.dtype).tiny)
    return loss + dice * _soft_dice(logits, labels, labeled) if dice else loss


def _soft_dice(logits: Tensor, labels: Tensor, labeled: Tensor) -> Tensor:
    """1 - the mean over classes of the soft Dice coefficient of all pixels of a batch."""
    probabilities = logits.softmax(dim=1) * labeled[:, None]
    true = functional.one_hot(labels, logits.shape[1]).movedim(-1, 1) * labeled[:, None]
    over = (0, 2, 3)
    hits = (probabilities * true).sum(dim=over)
    dice: Tensor = 1 - ((2 * hits + 1) / (probabilities.sum(dim=over) + true.sum(dim=over) + 1)).mean()
    return dice


def _distill(outputs: Any, teacher: Any, batch: Batch, *, temperature: float) -> Tensor:
    logits = _logits(outputs)
    return soft_cross_entropy(logits, _resized(teacher, logits.shape[-2:]), temperature)


def _classes(outputs: Any, batch: Batch) -> Tensor:
    """The class of every pixel of the masks, (N, H, W) int64; of the outputs where there are no masks."""
    size = batch.targets.shape[-2:] if isinstance(batch.targets, Tensor) else _logits(outputs).shape[-2:]
    return _resized(outputs, size).argmax(dim=1)


def _check(outputs: Any, batch: Batch, *, classes: int | None, ignore: int) -> None:
    logits, masks, count = _logits(outputs), batch.targets, batch.examples
    fits = logits.dim() == 4 and len(logits) == count and classes in (None, logits.shape[1])
    check_outputs(logits, fits, f"logits ({count}, {classes or 'classes'}, H, W)", "segmentation", count)
    fits = isinstance(masks, Tensor) and masks.dim() == 3 and len(masks) == count and masks.dtype in WHOLE
    check_targets(masks, fits, f"a class number for each pixel, ({count}, H, W) torch.int64", "segmentation")
    check_range(masks[masks != ignore], logits.shape[1], f"masks, beside ignore_index={ignore},")


def _constant(batches: Iterable[Batch], *, classes: int | None, ignore: int) -> Tensor:
    """The log frequencies of the classes, (classes, 1, 1): every pixel gets the most frequent one."""
    labels = torch.cat([batch.targets[batch.targets != ignore].cpu().long() for batch in batches])
    counts = torch.bincount(labels, minlength=classes or 0)
    return torch.log((counts + 1) / (counts.sum() + len(counts)))[:, None, None]


def _counts(outputs: Any, batch: Batch, *, ignore: int) -> Tensor:
    masks = batch.targets.long()
    true = masks.masked_fill(masks == ignore, -1)
    return class_counts.class_counts(_classes(outputs, batch), true, _logits(outputs).shape[1])


def _right(outputs: Any, batch: Batch, *, ignore: int) -> Tensor:
    """(N, 2): how many pixels of each image are right, and how many count."""
    labeled = batch.targets != ignore
    right = (_classes(outputs, batch) == batch.targets) & labeled
    return torch.stack([right.flatten(1).sum(dim=1), labeled.flatten(1).sum(dim=1)], dim=1)


def _rows(sums: Tensor, *, names: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    count = sums.shape[-1] // 3
    known = names if len(names) == count else tuple(map(str, range(count)))
    return tuple(
        {"class": row["class"], "pixels": row["count"], "iou": class_counts.number_or_none(union)}
        | {name: row[name] for name in ("recall", "precision")}
        for row, union in zip(class_counts.table(sums, names=known), class_counts.unions(sums), strict=True)
    )
