"""Classification: one class for each example, from logits (N, classes)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ofa.errors import InvalidInput, nearest
from ofa.inputs import logits_of
from ofa.task.batch import Batch
from ofa.task.losses import label_loss, soft_cross_entropy
from ofa.task.metric import Metric
from ofa.task.task import Task


def classification(
    data: Any = None,
    *,
    metrics: Sequence[str] = ("accuracy",),
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    temperature: float = 1.0,
    num_classes: int | None = None,
) -> Task:
    """Returns the task of naming the class of each example, from logits (N, classes) and labels (N,) int64.

    Args:
        data: a data set with `num_classes`; None where `num_classes` is given.
        metrics: names of `METRICS`, the objective first.
        class_weights: of the loss, one for each class.
        label_smoothing: fraction of a label's probability that is spread over all classes in the loss.
        temperature: of both softmaxes of distillation.
        num_classes: how many.

    Raises:
        InvalidInput: an unknown metric, or an argument out of range.
    """
    if not 0 <= label_smoothing < 1:
        raise InvalidInput(f"label_smoothing={label_smoothing!r} is a fraction: at least 0 and less than 1")
    classes = num_classes if num_classes is not None else getattr(data, "num_classes", None)
    if class_weights is not None and len(class_weights) != classes:
        raise InvalidInput(f"class_weights has {len(class_weights)} numbers for {classes} classes; give one for each")
    weights = None if class_weights is None else tuple(float(weight) for weight in class_weights)
    if unknown := [name for name in metrics if name not in METRICS]:
        raise InvalidInput(f"metric {unknown[0]!r} is unknown; {nearest(str(unknown[0]), METRICS)}")
    return Task(
        name="classification",
        loss=partial(_loss, smoothing=label_smoothing, weights=weights),
        metrics=tuple(METRICS[name] for name in metrics),
        distill=partial(_distill, temperature=temperature),
        check=partial(_check, classes=classes),
        constant=partial(_constant, classes=classes),
    )


def _loss(outputs: Any, batch: Batch, *, smoothing: float, weights: tuple[float, ...] | None) -> Tensor:
    logits = logits_of(outputs)
    return label_loss(logits, batch.targets, smoothing, None if weights is None else logits.new_tensor(weights))


def _distill(outputs: Any, teacher: Any, batch: Batch, *, temperature: float) -> Tensor:
    return soft_cross_entropy(logits_of(outputs), logits_of(teacher), temperature)


def _check(outputs: Any, batch: Batch, *, classes: int | None) -> None:
    logits, labels = logits_of(outputs), batch.targets
    if logits.dim() != 2 or len(logits) != batch.examples or (classes is not None and logits.shape[1] != classes):
        expected = (batch.examples, "classes" if classes is None else classes)
        raise InvalidInput(
            f"the network returns shape {tuple(logits.shape)} for {batch.examples} examples; classification needs "
            f"logits ({expected[0]}, {expected[1]})"
        )
    form = f"{tuple(labels.shape)} {labels.dtype}" if isinstance(labels, Tensor) else type(labels).__name__
    if not isinstance(labels, Tensor) or labels.shape != (batch.examples,) or labels.dtype != torch.int64:
        raise InvalidInput(
            f"the labels are {form}; classification needs one class number for each example, "
            f"({batch.examples},) torch.int64: for several labels an example take task=multilabel, for numbers "
            "task=regression"
        )
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise InvalidInput(
            f"labels run from {int(labels.min())} to {int(labels.max())}; the network's {logits.shape[1]} classes are "
            f"numbered 0 to {logits.shape[1] - 1}"
        )


def _constant(batches: Iterable[Batch], *, classes: int | None) -> Tensor:
    """The log frequencies of the classes: the most frequent one is the answer."""
    labels = torch.cat([batch.targets.cpu() for batch in batches])
    counts = torch.bincount(labels, minlength=classes or 0)
    return torch.log((counts + 1) / (counts.sum() + len(counts)))


def _right(outputs: Any, batch: Batch) -> Tensor:
    """(N, 2): whether each example is right, and 1."""
    right = logits_of(outputs).argmax(dim=1) == batch.targets
    return torch.stack([right, torch.ones_like(right)], dim=1)


def _by_class(outputs: Any, batch: Batch) -> Tensor:
    """(N, 3 x classes): for each class whether the example is it and is named it, is it, is named it."""
    logits = logits_of(outputs)
    classes = logits.shape[1]
    named = functional.one_hot(logits.argmax(dim=1), classes)
    true = functional.one_hot(batch.targets, classes)
    return torch.cat([named * true, true, named], dim=1)


def _share(sums: Tensor) -> Tensor:
    return sums[..., 0] / sums[..., 1]


def _balanced_accuracy(sums: Tensor) -> Tensor:
    """The mean of the recalls of all classes that occur."""
    hits, true, _ = sums.chunk(3, dim=-1)
    recalls = torch.where(true > 0, hits / true, torch.nan)
    return recalls.nanmean(dim=-1)


def _macro_f1(sums: Tensor) -> Tensor:
    """The mean of the F1 scores of all classes that occur or are named."""
    hits, true, named = sums.chunk(3, dim=-1)
    scores = torch.where(true + named > 0, 2 * hits / (true + named), torch.nan)
    return scores.nanmean(dim=-1)


ACCURACY = Metric(name="accuracy", statistics=_right, value=_share, unit="%", standard_error="binomial")
METRICS = {
    "accuracy": ACCURACY,
    "balanced_accuracy": Metric(name="balanced_accuracy", statistics=_by_class, value=_balanced_accuracy, unit="%"),
    "macro_f1": Metric(name="macro_f1", statistics=_by_class, value=_macro_f1, unit="%", label="macro F1"),
}
