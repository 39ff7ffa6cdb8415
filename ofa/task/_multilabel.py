"""Multi-label: any number of labels for each example, from logits (N, labels)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ofa.errors import InvalidInput, is_number
from ofa.inputs import logits_of
from ofa.task import class_counts
from ofa.task._classification import check_temperature
from ofa.task.average_precision import average_precisions
from ofa.task.batch import Batch
from ofa.task.choosing import chosen, pairs_of
from ofa.task.classification_metrics import share
from ofa.task.detail import Detail
from ofa.task.facts import checked_weights, class_names, column_count, training_targets
from ofa.task.forms import check_outputs, check_targets
from ofa.task.losses import full_precision
from ofa.task.metric import Metric
from ofa.task.task import Task


def multilabel(
    data: Any = None,
    *,
    metrics: Sequence[str | Metric] = ("macro_f1",),
    pos_weight: Sequence[float] | Literal["balanced"] | None = None,
    threshold: float = 0.5,
    temperature: float = 1.0,
    num_labels: int | None = None,
) -> Task:
    """Returns the task of saying which labels each example has, from logits (N, labels).

    Targets (N, labels) are 0 and 1, of any type. The loss is the mean binary cross entropy.
    Metrics: macro_f1, micro_f1, mean_average_precision, exact_match, hamming_loss, binary_cross_entropy (nats).

    Args:
        data: a data set with targets (N, labels), perhaps with `target_names` or `class_names`.
        metrics: names as above, or Metrics; the objective first.
        pos_weight: of the loss of labels that an example has, one for each label; "balanced": how many training
            examples lack it for each that has it.
        threshold: the probability from which on an example is said to have a label.
        temperature: of both sigmoids of distillation.
        num_labels: how many, where `data` does not say it.

    Raises:
        InvalidInput: an unknown metric, or an argument out of range.
    """
    if not is_number(threshold) or not 0 < threshold < 1:
        raise InvalidInput(f"threshold={threshold!r} is a probability: more than 0 and less than 1")
    check_temperature(temperature)
    labels = column_count(data, num_labels)
    names = () if labels is None else _names(data, labels)
    if pos_weight == "balanced":
        weights: tuple[float, ...] | None = _balanced(training_targets(data, "pos_weight='balanced'"))
    else:
        weights = None if pos_weight is None else checked_weights("pos_weight", pos_weight, labels, "labels")
    counts = partial(_counts, threshold=threshold)
    offered = (
        Metric(name="macro_f1", statistics=counts, value=class_counts.mean_f1, unit="%", label="macro F1"),
        Metric(name="micro_f1", statistics=counts, value=class_counts.pooled_f1, unit="%", label="micro F1"),
        Metric(
            name="mean_average_precision",
            statistics=_scored,
            value=_mean_average_precision,
            unit="%",
            additive=False,
            drawn=_drawn_mean_average_precision,
        ),
        Metric(
            name="exact_match",
            statistics=partial(_exact, threshold=threshold),
            value=share,
            unit="%",
            standard_error="binomial",
        ),
        Metric(
            name="hamming_loss",
            statistics=partial(_wrong, threshold=threshold),
            value=share,
            maximize=False,
            unit="%",
            label="Hamming loss",
        ),
        Metric(name="binary_cross_entropy", statistics=_nats, value=share, maximize=False, unit="nats"),
    )
    return Task(
        name="multilabel",
        loss=partial(_loss, weights=weights),
        metrics=chosen(
            metrics,
            {metric.name: metric for metric in offered},
            "multilabel",
            partial(pairs_of, predictions=_probabilities),
        ),
        distill=partial(_distill, temperature=temperature),
        check=partial(_check, labels=labels),
        checks_batches=True,
        constant=_constant,
        details=(Detail(name="labels", statistics=counts, rows=partial(_rows, names=names), units=_PERCENT),),
        predictions=_probabilities,
    )


_PERCENT = {"recall": "%", "precision": "%", "f1": "%"}


def _names(data: Any, labels: int) -> tuple[str, ...]:
    field = "target_names" if len(getattr(data, "target_names", ())) == labels else "class_names"
    return class_names(data, labels, field=field)


def _balanced(targets: Tensor) -> tuple[float, ...]:
    have = targets.double().sum(dim=0)
    return tuple(torch.where(have > 0, (len(targets) - have) / have, 1.0).clamp(min=1e-3).tolist())


def _loss(outputs: Any, batch: Batch, *, weights: tuple[float, ...] | None) -> Tensor:
    logits = full_precision(logits_of(outputs))
    pos_weight = None if weights is None else logits.new_tensor(weights)
    return functional.binary_cross_entropy_with_logits(logits, batch.targets.to(logits), pos_weight=pos_weight)


def _distill(outputs: Any, teacher: Any, batch: Batch, *, temperature: float) -> Tensor:
    logits, taught = full_precision(logits_of(outputs)), full_precision(logits_of(teacher).detach())
    targets = (taught / temperature).sigmoid()
    return functional.binary_cross_entropy_with_logits(logits / temperature, targets) * temperature**2


def _probabilities(outputs: Any, batch: Batch) -> Tensor:
    return logits_of(outputs).sigmoid()


def _check(outputs: Any, batch: Batch, *, labels: int | None) -> None:
    logits, targets, count = logits_of(outputs), batch.targets, batch.examples
    fits = logits.dim() == 2 and len(logits) == count and labels in (None, logits.shape[1])
    check_outputs(logits, fits, f"logits ({count}, {labels or 'labels'})", "multilabel", count)
    expected = f"a 0 or 1 for each example and label, {tuple(logits.shape)}"
    fits = isinstance(targets, Tensor) and targets.shape == logits.shape and not targets.is_complex()
    check_targets(targets, fits, expected, "multilabel")
    if not ((targets == 0) | (targets == 1)).all():
        low, high = targets.min().item(), targets.max().item()
        raise InvalidInput(
            f"the targets run from {low:g} to {high:g}; multilabel needs {expected}: for numbers take task=regression"
        )


def _constant(batches: Iterable[Batch]) -> Tensor:
    """The log odds of every label."""
    targets = torch.cat([batch.targets.cpu().double() for batch in batches])
    return torch.logit((targets.sum(dim=0) + 0.5) / (len(targets) + 1)).float()


def _named(outputs: Any, threshold: float) -> Tensor:
    return logits_of(outputs).double().sigmoid() >= threshold


def _counts(outputs: Any, batch: Batch, *, threshold: float) -> Tensor:
    """(N, 3 x labels), see `ofa.task.class_counts`."""
    named, true = _named(outputs, threshold), batch.targets.bool()
    return torch.cat([named & true, true, named], dim=1)


def _exact(outputs: Any, batch: Batch, *, threshold: float) -> Tensor:
    right = (_named(outputs, threshold) == batch.targets.bool()).all(dim=1)
    return torch.stack([right, torch.ones_like(right)], dim=1)


def _wrong(outputs: Any, batch: Batch, *, threshold: float) -> Tensor:
    wrong = _named(outputs, threshold) != batch.targets.bool()
    return torch.stack([wrong.sum(dim=1), torch.full_like(wrong[:, 0], wrong.shape[1], dtype=torch.int64)], dim=1)


def _nats(outputs: Any, batch: Batch) -> Tensor:
    logits = logits_of(outputs).double()
    losses = functional.binary_cross_entropy_with_logits(logits, batch.targets.to(logits), reduction="none")
    return torch.stack([losses.mean(dim=1), torch.ones_like(losses[:, 0])], dim=1)


def _scored(outputs: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    return logits_of(outputs).double().cpu(), batch.targets.bool().cpu()


def _mean_average_precision(entries: tuple[Tensor, Tensor]) -> float:
    return float(_drawn_mean_average_precision(entries, torch.ones(1, len(entries[0]))))


def _drawn_mean_average_precision(entries: tuple[Tensor, Tensor], times: Tensor) -> Tensor:
    return average_precisions(*entries, times).nanmean(dim=1)


def _rows(sums: Tensor, *, names: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    count = sums.shape[-1] // 3
    rows = class_counts.table(sums, names=names if len(names) == count else tuple(map(str, range(count))))
    return tuple({("label" if key == "class" else key): value for key, value in row.items()} for row in rows)
