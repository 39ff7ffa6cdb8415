"""How the logits of classes are judged."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ofa.errors import InvalidInput, is_whole, nearest
from ofa.inputs import logits_of
from ofa.task import class_counts
from ofa.task.batch import Batch
from ofa.task.metric import Metric

_BINS = 15  # of confidence, as in Guo et al. 2017


def metrics_of(names: tuple[str, ...], positive: int | str | None, wanted: set[str]) -> dict[str, Metric]:
    """Returns the metrics of classification by name.

    Args:
        names: of the classes; empty: not known.
        positive: the class that recall, precision and f1 are of.
        wanted: what a configuration names: only what is wanted is refused.

    Raises:
        InvalidInput: `positive` is no class, or recall, precision or f1 are wanted of more classes without it.
    """
    if "top_5_accuracy" in wanted and 0 < len(names) <= 5:
        raise InvalidInput(f"top_5_accuracy of {len(names)} classes is always 100 %; take accuracy")
    if positive is None and len(names) != 2:
        if of_one := [name for name in _OF_ONE_CLASS if name in wanted]:
            raise InvalidInput(
                f"{of_one[0]} of {len(names) or 'unknown'} classes: set positive to the class it is of, or take "
                "balanced_accuracy or macro_f1, means over all classes"
            )
        return dict(_METRICS)
    index = 1 if positive is None else _index(positive, names)
    name = names[index] if names else str(index)
    of_one_class = {
        measure: Metric(
            name=measure,
            statistics=_counts,
            value=partial(class_counts.of_class, measure=function, index=index),
            unit="%",
            label=f"{'F1' if measure == 'f1' else measure} of {name}",
        )
        for measure, function in _OF_ONE_CLASS.items()
    }
    return _METRICS | of_one_class


def _index(positive: int | str, names: tuple[str, ...]) -> int:
    if isinstance(positive, str) and positive in names:
        return names.index(positive)
    if is_whole(positive, least=0) and (not names or positive < len(names)):
        return positive
    raise InvalidInput(f"positive={positive!r} is no class; {nearest(str(positive), names)}")


def _counts(outputs: Any, batch: Batch) -> Tensor:
    logits = logits_of(outputs)
    return class_counts.class_counts(logits.argmax(dim=1), batch.targets, logits.shape[1])


def _with_ones(values: Tensor) -> Tensor:
    return torch.stack([values, torch.ones_like(values)], dim=1)


def right(outputs: Any, batch: Batch) -> Tensor:
    """Returns whether each example is right, and 1, (N, 2)."""
    return _with_ones(logits_of(outputs).argmax(dim=1) == batch.targets)


def _right_of_five(outputs: Any, batch: Batch) -> Tensor:
    logits = logits_of(outputs)
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices
    return _with_ones((best == batch.targets[:, None]).any(dim=1))


def _nats(outputs: Any, batch: Batch) -> Tensor:
    return _with_ones(functional.cross_entropy(logits_of(outputs).double(), batch.targets, reduction="none"))


def _by_confidence(outputs: Any, batch: Batch) -> Tensor:
    """(N, 3 x bins): of the bin of the example's confidence whether it is right, the confidence, and 1."""
    confidence, named = logits_of(outputs).double().softmax(dim=1).max(dim=1)
    bins = functional.one_hot((confidence * _BINS).long().clamp(max=_BINS - 1), _BINS)
    correct = (named == batch.targets).double()
    return torch.cat([bins * correct[:, None], bins * confidence[:, None], bins], dim=1)


def share(sums: Tensor) -> Tensor:
    """Returns the first sum over the second."""
    return sums[..., 0] / sums[..., 1]


def _calibration_error(sums: Tensor) -> Tensor:
    correct, confidence, count = sums.chunk(3, dim=-1)
    return (correct - confidence).abs().sum(dim=-1) / count.sum(dim=-1)


_OF_ONE_CLASS = {"recall": class_counts.recalls, "precision": class_counts.precisions, "f1": class_counts.f1s}
ACCURACY = Metric(name="accuracy", statistics=right, value=share, unit="%", standard_error="binomial")
_METRICS = {
    metric.name: metric
    for metric in (
        ACCURACY,
        Metric(name="balanced_accuracy", statistics=_counts, value=class_counts.mean_recall, unit="%"),
        Metric(name="macro_f1", statistics=_counts, value=class_counts.mean_f1, unit="%", label="macro F1"),
        Metric(
            name="top_5_accuracy",
            statistics=_right_of_five,
            value=share,
            unit="%",
            label="top-5 accuracy",
            standard_error="binomial",
        ),
        Metric(name="cross_entropy", statistics=_nats, value=share, maximize=False, unit="nats"),
        Metric(name="calibration_error", statistics=_by_confidence, value=_calibration_error, maximize=False, unit="%"),
    )
}
