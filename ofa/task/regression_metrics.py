"""How predicted numbers are judged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ofa.task.batch import Batch
from ofa.task.class_counts import number_or_none
from ofa.task.metric import Metric

Values = Callable[[Any, Batch], Tensor]
_PARTS = 5  # of the statistics


def metrics_of(values: Values, unit: str) -> dict[str, Metric]:
    """Returns the metrics of regression by name; `values` makes predictions of outputs, in a unit."""
    statistics = partial(statistics_of, values=values)
    metrics = (
        Metric(name="rmse", statistics=statistics, value=_rmse, maximize=False, unit=unit, label="RMSE"),
        Metric(name="mae", statistics=statistics, value=_mae, maximize=False, unit=unit, label="MAE"),
        Metric(name="r2", statistics=statistics, value=_r2, label="R²"),
    )
    return {metric.name: metric for metric in metrics}


def statistics_of(outputs: Any, batch: Batch, *, values: Values) -> Tensor:
    """Returns of each example and target squared error, absolute error, target, its square, and 1, (N, 5 x K)."""
    targets = batch.targets.double().reshape(len(batch.targets), -1)
    errors = values(outputs, batch).double().reshape(targets.shape) - targets
    return torch.cat([errors**2, errors.abs(), targets, targets**2, torch.ones_like(targets)], dim=1)


def _by_target(sums: Tensor) -> dict[str, Tensor]:
    """The measures of each target, (..., K)."""
    squared, absolute, total, squares, count = sums.chunk(_PARTS, dim=-1)
    spread = squares - total**2 / count
    return {"rmse": (squared / count).sqrt(), "mae": absolute / count, "r2": 1 - squared / spread}


def _rmse(sums: Tensor) -> Tensor:
    return _by_target(sums)["rmse"].mean(dim=-1)


def _mae(sums: Tensor) -> Tensor:
    return _by_target(sums)["mae"].mean(dim=-1)


def _r2(sums: Tensor) -> Tensor:
    return _by_target(sums)["r2"].mean(dim=-1)


def rows_of_targets(sums: Tensor, *, names: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    """Returns one row per target: its name, its mean and its measures."""
    count = sums.shape[-1] // _PARTS
    known = names if len(names) == count else tuple(map(str, range(count)))
    means = sums.chunk(_PARTS, dim=-1)[2] / sums[..., -1:]
    columns = {"mean": means, **_by_target(sums)}
    return tuple(
        {"target": name} | {column: number_or_none(values[index]) for column, values in columns.items()}
        for index, name in enumerate(known)
    )
