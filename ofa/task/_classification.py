"""Classification: one class for each example, from logits (N, classes)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial, wraps
from typing import Any, Literal

import torch
from torch import Tensor

from ofa.errors import InvalidInput, is_number
from ofa.inputs import logits_of
from ofa.task import class_counts
from ofa.task.batch import Batch
from ofa.task.choosing import chosen, names_in, pairs_of
from ofa.task.classification_metrics import metrics_of
from ofa.task.detail import Detail
from ofa.task.facts import checked_weights, class_count, class_names, training_targets
from ofa.task.forms import check_outputs, check_range, check_targets
from ofa.task.losses import label_loss, soft_cross_entropy
from ofa.task.metric import Metric
from ofa.task.task import Task


def classification(
    data: Any = None,
    *,
    metrics: Sequence[str | Metric] = ("accuracy",),
    class_weights: Sequence[float] | Literal["balanced"] | None = None,
    label_smoothing: float = 0.0,
    temperature: float = 1.0,
    num_classes: int | None = None,
    positive: int | str | None = None,
) -> Task:
    """Returns the task of naming the class of each example, from logits (N, classes) and labels (N,) int64.

    Metrics: accuracy, balanced_accuracy (the mean of all classes' recalls), macro_f1, top_5_accuracy, cross_entropy
    (nats), calibration_error (expected, in 15 bins: Guo et al. 2017, 1706.04599); recall, precision, f1 of one class.

    Args:
        data: a data set with `num_classes` and perhaps `class_names`; None where `num_classes` is given.
        metrics: names as above, or Metrics; the objective first.
        class_weights: of the loss, one for each class; "balanced": examples / (classes * examples of the class) in the
            training split.
        label_smoothing: fraction of a label's probability that is spread over all classes in the loss.
        temperature: of both softmaxes of distillation.
        num_classes: how many.
        positive: the class, by number or name, that recall, precision and f1 are of; of two classes the second if None.

    Raises:
        InvalidInput: an unknown metric, or an argument out of range.
    """
    if not is_number(label_smoothing) or not 0 <= label_smoothing < 1:
        raise InvalidInput(f"label_smoothing={label_smoothing!r} is a fraction: at least 0 and less than 1")
    check_temperature(temperature)
    classes = class_count(data, num_classes)
    names = () if classes is None else class_names(data, classes)
    if class_weights == "balanced":
        weights: tuple[float, ...] | None = _balanced(training_targets(data, "class_weights='balanced'"), classes)
    else:
        weights = None if class_weights is None else checked_weights("class_weights", class_weights, classes, "classes")
    return Task(
        name="classification",
        loss=partial(_loss, smoothing=label_smoothing, weights=weights),
        metrics=chosen(
            metrics,
            metrics_of(names, positive, names_in(metrics)),
            "classification",
            partial(pairs_of, predictions=_probabilities),
        ),
        distill=partial(_distill, temperature=temperature),
        check=partial(_check, classes=classes),
        checks_batches=True,
        constant=partial(_constant, classes=classes),
        details=(Detail(name="classes", statistics=by_class, rows=partial(_rows, names=names), units=_PERCENT),),
        predictions=_probabilities,
        terms=None if weights is None else partial(_weight, weights=weights),
    )


@wraps(classification, assigned=())
def sequence_classification(data: Any = None, **settings: Any) -> Task:
    """Returns `classification` of sequences: the network may take several inputs and return an object with logits.

    Batches are dictionaries of the network's arguments (token ids, masks) with the labels (N,) under "labels", or pairs
    of inputs and labels. Settings and errors are those of `classification`.
    """
    return replace(classification(data, **settings), name="sequence_classification")


_PERCENT = {"recall": "%", "precision": "%", "f1": "%"}


def check_temperature(temperature: float) -> None:
    """Checks the temperature of a distillation.

    Raises:
        InvalidInput: it is no number above 0.
    """
    if not is_number(temperature) or not temperature > 0:
        raise InvalidInput(f"temperature={temperature!r} must be a number above 0; 1 leaves probabilities as they are")


def _weight(batch: Batch, *, weights: tuple[float, ...]) -> Tensor:
    """The sum of the weights of the labels' classes, which the loss is divided by."""
    return torch.tensor(weights)[batch.targets.cpu()].sum()


def by_class(outputs: Any, batch: Batch) -> Tensor:
    """Returns the counts of `ofa.task.class_counts` of each example, (N, 3 x classes)."""
    logits = logits_of(outputs)
    return class_counts.class_counts(logits.argmax(dim=1), batch.targets, logits.shape[1])


def _balanced(labels: Tensor, classes: int | None) -> tuple[float, ...]:
    counts = torch.bincount(labels.cpu().flatten(), minlength=classes or 0).clamp(min=1)
    return tuple((len(labels) / (len(counts) * counts.double())).tolist())


def _loss(outputs: Any, batch: Batch, *, smoothing: float, weights: tuple[float, ...] | None) -> Tensor:
    logits = logits_of(outputs)
    return label_loss(logits, batch.targets, smoothing, None if weights is None else logits.new_tensor(weights))


def _distill(outputs: Any, teacher: Any, batch: Batch, *, temperature: float) -> Tensor:
    return soft_cross_entropy(logits_of(outputs), logits_of(teacher), temperature)


def _probabilities(outputs: Any, batch: Batch) -> Tensor:
    return logits_of(outputs).softmax(dim=1)


def _check(outputs: Any, batch: Batch, *, classes: int | None) -> None:
    logits, labels, count = logits_of(outputs), batch.targets, batch.examples
    fits = logits.dim() == 2 and len(logits) == count and classes in (None, logits.shape[1])
    check_outputs(logits, fits, f"logits ({count}, {classes or 'classes'})", "classification", count)
    fits = isinstance(labels, Tensor) and labels.shape == (count,) and labels.dtype == torch.int64
    check_targets(labels, fits, f"one class number for each example, ({count},) torch.int64", "classification")
    check_range(labels, logits.shape[1], "labels")


def _constant(batches: Iterable[Batch], *, classes: int | None) -> Tensor:
    """The log frequencies of the classes: the most frequent one is the answer."""
    labels = torch.cat([batch.targets.cpu() for batch in batches])
    counts = torch.bincount(labels, minlength=classes or 0)
    return torch.log((counts + 1) / (counts.sum() + len(counts)))


def _rows(sums: Tensor, *, names: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    count = sums.shape[-1] // 3
    return class_counts.table(sums, names=names if len(names) == count else tuple(map(str, range(count))))
