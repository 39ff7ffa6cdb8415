"""from_torchmetrics: a metric of the torchmetrics library as a Metric."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.inputs import logits_of
from ofa.task.batch import Batch, leaves
from ofa.task.metric import Metric

Pairs = Callable[[Any, Batch], tuple[Any, Any]]  # (outputs, batch) -> predictions and targets, both by example


def from_torchmetrics(
    metric: Any,
    *,
    name: str | None = None,
    maximize: bool | None = None,
    unit: str = "",
    label: str = "",
    key: str | None = None,
    pairs: Pairs | None = None,
) -> Metric:
    """Returns a torchmetrics metric as a Metric; its standard error is a bootstrap over examples.

    Predictions and targets of all examples are kept, and the metric is computed from all of them at once.

    Args:
        metric: a `torchmetrics.Metric`, its class, or a `functools.partial` of it.
        name: in configurations and files; the class's, with underscores, where None.
        maximize: whether more is better; what the metric says where None.
        unit: and `label`: as of a Metric.
        key: which of a dictionary of values.
        pairs: (outputs, batch) -> predictions and targets that its `update` takes; the predictions of the task that
            it is named in where None (probabilities, values in their unit, boxes), elsewhere the outputs.

    Raises:
        InvalidInput: torchmetrics is not installed, it is no such metric, or it does not say what is better.
    """
    made = _made(metric)
    kind = type(made).__name__
    better = getattr(made, "higher_is_better", None) if maximize is None else maximize
    if better is None:
        raise InvalidInput(f"torchmetrics' {kind} does not say whether more is better; set maximize to true or false")
    return Metric(
        name=name or _snake(kind) + ("" if key is None else f"_{key}"),
        statistics=partial(entries_of, pairs=pairs or outputs_and_targets),
        value=partial(_value, metric=made, key=key),
        maximize=bool(better),
        unit=unit,
        label=label,
        additive=False,
    )


def is_torchmetric(value: Any) -> bool:
    """Returns whether a value is a metric of torchmetrics, its class or a partial of it; nothing is imported for it."""
    value = value.func if isinstance(value, partial) else value
    kind = value if isinstance(value, type) else type(value)
    return any(f"{base.__module__}.{base.__qualname__}" == "torchmetrics.metric.Metric" for base in kind.__mro__)


def with_pairs(metric: Metric, pairs: Pairs) -> Metric:
    """Returns a metric of torchmetrics that is given a task's predictions, where it does not have its own `pairs`."""
    statistics = metric.statistics
    if isinstance(statistics, partial) and statistics.keywords.get("pairs") is outputs_and_targets:
        return replace(metric, statistics=partial(entries_of, pairs=pairs))
    return metric


def outputs_and_targets(outputs: Any, batch: Batch) -> tuple[Any, Any]:
    """Returns the only output, or the logits, and the targets."""
    return logits_of(outputs), batch.targets


def entries_of(outputs: Any, batch: Batch, *, pairs: Pairs) -> Any:
    """Returns predictions and targets on the CPU: two tensors, or a list with a pair for each example."""
    predictions, targets = (_on_cpu(part) for part in pairs(outputs, batch))
    if isinstance(predictions, Tensor) and isinstance(targets, Tensor):
        return predictions, targets
    return list(zip(predictions, targets, strict=True))


def _made(metric: Any) -> Any:
    try:
        import torchmetrics
    except ImportError:
        raise InvalidInput(
            "metrics of torchmetrics need the package: pip install 'ofa-search[metrics]'; every task has metrics of "
            "its own, too"
        ) from None
    if not is_torchmetric(metric):
        raise InvalidInput(
            f"from_torchmetrics got a {type(metric).__name__}; give a torchmetrics.Metric, such as "
            "torchmetrics.classification.MulticlassAUROC(num_classes=10)"
        )
    try:
        made = metric if isinstance(metric, torchmetrics.Metric) else metric()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"torchmetrics: {' '.join(str(error).split())}") from None
    made = copy.deepcopy(made).cpu()
    made.reset()
    return made


def _snake(name: str) -> str:
    """`MulticlassF1Score` as `multiclass_f1_score`, `MulticlassAUROC` as `multiclass_auroc`."""
    result = ""
    for index, letter in enumerate(name):
        follows_small = index > 0 and (name[index - 1].islower() or name[index - 1].isdigit())
        begins_word = index > 0 and name[index - 1].isupper() and name[index + 1 : index + 2].islower()
        result += ("_" if letter.isupper() and (follows_small or begins_word) else "") + letter.lower()
    return result


def _on_cpu(part: Any) -> Any:
    if isinstance(part, Tensor):
        return part.detach().cpu()
    return [{name: value.detach().cpu() for name, value in entry.items()} for entry in part]


def _joined(parts: Any) -> Any:
    if isinstance(parts, Tensor):
        return parts
    return torch.stack(list(parts)) if isinstance(parts[0], Tensor) else list(parts)


def _value(entries: Any, *, metric: Any, key: str | None) -> float:
    fresh = copy.deepcopy(metric)
    predictions, targets = entries if isinstance(entries, tuple) else zip(*entries, strict=True)
    try:
        fresh.update(_joined(predictions), _joined(targets))
        value = fresh.compute()
    except (RuntimeError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"torchmetrics' {type(metric).__name__} does not fit the task: {' '.join(str(error).split()):.300}"
        ) from None
    if isinstance(value, dict):
        if key not in value:
            raise InvalidInput(
                f"torchmetrics' {type(metric).__name__} has the values {', '.join(value)}; set key to one of them"
            )
        value = value[key]
    numbers = leaves(value) or [torch.tensor(value)]
    if len(numbers) != 1 or numbers[0].numel() != 1:
        count = sum(number.numel() for number in numbers)
        raise InvalidInput(
            f"torchmetrics' {type(metric).__name__} returns {count} numbers; a metric is one: set its "
            "average, such as average='macro'"
        )
    number = float(numbers[0])
    return number if math.isfinite(number) else math.nan
