"""chosen: the metrics that a configuration names for a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ofa.errors import InvalidInput, nearest
from ofa.task._from_torchmetrics import Pairs, from_torchmetrics, is_torchmetric, with_pairs
from ofa.task.batch import Batch
from ofa.task.metric import Metric


def chosen(metrics: Sequence[Any] | str, offered: Mapping[str, Metric], task: str, pairs: Pairs) -> tuple[Metric, ...]:
    """Returns the metrics of a task, the objective first.

    Args:
        metrics: names in `offered`, Metrics, or metrics of torchmetrics.
        offered: what the task has.
        task: its name, for messages.
        pairs: (outputs, batch) -> the predictions and targets that metrics of torchmetrics are given.

    Raises:
        InvalidInput: none, an unknown name, the same one twice, or something that is no metric.
    """
    given = _listed(metrics)
    if not given:
        raise InvalidInput(f"task {task} has no metric; the first is the objective: {nearest('', offered)}")
    result = tuple(with_pairs(_metric(each, offered, task), pairs) for each in given)
    names = [metric.name for metric in result]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InvalidInput(f"task {task} has the metric {twice[0]!r} twice; name each once")
    return result


def names_in(metrics: Sequence[Any] | str) -> set[str]:
    """Returns the names among metrics; those of torchmetrics would make a metric of any comparison."""
    return {each for each in _listed(metrics) if isinstance(each, str)}


def _listed(metrics: Any) -> list[Any]:
    return [metrics] if isinstance(metrics, str | Metric) or is_torchmetric(metrics) else list(metrics)


def pairs_of(outputs: Any, batch: Batch, *, predictions: Callable[[Any, Batch], Any]) -> tuple[Any, Any]:
    """Returns the predictions of a task and the targets, as metrics of torchmetrics take them."""
    return predictions(outputs, batch), batch.targets


def _metric(given: Any, offered: Mapping[str, Metric], task: str) -> Metric:
    if isinstance(given, Metric):
        return given
    if is_torchmetric(given):
        return from_torchmetrics(given)
    if isinstance(given, str):
        if given not in offered:
            raise InvalidInput(f"task {task} has no metric {given!r}; {nearest(given, offered)}")
        return offered[given]
    raise InvalidInput(
        f"a metric of task {task} is a {type(given).__name__}; give one of its names ({', '.join(offered)}), an "
        "ofa.task.Metric or a metric of torchmetrics"
    )
