"""chosen: the metrics that a configuration names for a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ofa.errors import InvalidInput, nearest
from ofa.task.metric import Metric


def chosen(metrics: Sequence[Any] | str, offered: Mapping[str, Metric], task: str) -> tuple[Metric, ...]:
    """Returns the metrics of a task, the objective first.

    Args:
        metrics: names in `offered`, or Metrics.
        offered: what the task has.
        task: its name, for messages.

    Raises:
        InvalidInput: none, an unknown name, the same one twice, or something that is no metric.
    """
    given = [metrics] if isinstance(metrics, str | Metric) else list(metrics)
    if not given:
        raise InvalidInput(f"task {task} has no metric; the first is the objective: {nearest('', offered)}")
    found = tuple(_metric(each, offered, task) for each in given)
    names = [metric.name for metric in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InvalidInput(f"task {task} has the metric {twice[0]!r} twice; name each once")
    return found


def _metric(given: Any, offered: Mapping[str, Metric], task: str) -> Metric:
    if isinstance(given, Metric):
        return given
    if isinstance(given, str):
        if given not in offered:
            raise InvalidInput(f"task {task} has no metric {given!r}; {nearest(given, offered)}")
        return offered[given]
    raise InvalidInput(
        f"a metric of task {task} is a {type(given).__name__}; give one of its names ({', '.join(offered)}) or an "
        "ofa.task.Metric"
    )
