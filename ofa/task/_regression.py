"""Regression: one number, or several, for each example."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ofa.errors import InvalidInput, is_number, nearest
from ofa.inputs import logits_of
from ofa.task.batch import Batch
from ofa.task.choosing import chosen, pairs_of
from ofa.task.detail import Detail
from ofa.task.facts import training_targets
from ofa.task.forms import check_outputs, check_targets
from ofa.task.losses import full_precision
from ofa.task.metric import Metric
from ofa.task.regression_metrics import metrics_of, rows_of_targets, statistics_of
from ofa.task.task import Task

LOSSES = ("mse", "mae", "huber")


def regression(
    data: Any = None,
    *,
    metrics: Sequence[str | Metric] = ("rmse", "mae", "r2"),
    loss: Literal["mse", "mae", "huber"] = "mse",
    huber_delta: float = 1.0,
    standardize: bool = False,
    unit: str = "",
    target_names: Sequence[str] | None = None,
) -> Task:
    """Returns the task of predicting numbers: outputs and targets (N,) or (N, K); outputs (N, 1) fit targets (N,).

    Metrics of several targets are means over them: rmse, mae (both in the targets' unit, less is better), r2 (1 is
    perfect, 0 is what the mean of all targets reaches).

    Args:
        data: a data set; its training targets are needed where they are standardized.
        metrics: names as above, or Metrics; the objective first.
        loss: mean squared error, mean absolute error, or Huber's (1964): squared up to `huber_delta`, then absolute.
        huber_delta: in the unit of what the loss compares: standard deviations where targets are standardized.
        standardize: whether the network learns (target - mean) / standard deviation of the training split, which suits
            usual learning rates; metrics and `predictions` are in the targets' own unit all the same.
        unit: of the targets, such as "mg/dl".
        target_names: of K targets, for tables; those of the data set where None.

    Raises:
        InvalidInput: an unknown metric or loss, or targets that cannot be standardized.
    """
    if loss not in LOSSES:
        raise InvalidInput(f"loss={loss!r} of regression; {nearest(str(loss), LOSSES)}")
    if not is_number(huber_delta) or not huber_delta > 0:
        raise InvalidInput(f"huber_delta={huber_delta!r} must be a number above 0")
    scale = _scale(training_targets(data, "standardize=true")) if standardize else None
    values = partial(_values, scale=scale)
    names = tuple(target_names if target_names is not None else getattr(data, "target_names", None) or ())
    return Task(
        name="regression",
        loss=partial(_loss, kind=loss, delta=float(huber_delta), scale=scale),
        metrics=chosen(metrics, metrics_of(values, unit), "regression", partial(pairs_of, predictions=values)),
        distill=partial(_distill, kind=loss, delta=float(huber_delta)),
        check=_check,
        checks_batches=True,
        constant=partial(_constant, scale=scale, median=loss == "mae"),
        details=(
            Detail(
                name="targets",
                statistics=partial(statistics_of, values=values),
                rows=partial(rows_of_targets, names=names),
                units={"rmse": unit, "mae": unit},
            ),
        ),
        predictions=values,
        postprocessing="" if scale is None else _in_words(scale, unit),
    )


Scale = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation of each target


def _scale(targets: Tensor) -> Scale:
    columns = _columns(targets.double())
    mean, deviation = columns.mean(dim=0), columns.std(dim=0, correction=0)
    if bad := [index for index, value in enumerate(deviation.tolist()) if not 0 < value < float("inf")]:
        raise InvalidInput(
            f"target {bad[0]} cannot be standardized: its standard deviation in the training split is "
            f"{deviation[bad[0]].item():g}; leave it out, or set standardize=false"
        )
    return tuple(mean.tolist()), tuple(deviation.tolist())


def _in_words(scale: Scale, unit: str) -> str:
    """How outputs become values, as a formula that can be typed in."""
    mean, deviation = (list(part) if len(part) > 1 else part[0] for part in scale)
    return f"value = output * {deviation} + {mean}" + (f", in {unit}" if unit else "")


def _columns(values: Tensor) -> Tensor:
    """(N, K), of values (N,) or (N, K)."""
    return values[:, None] if values.dim() == 1 else values


def _outputs(outputs: Any) -> Tensor:
    return _columns(full_precision(logits_of(outputs)))


def _values(outputs: Any, batch: Batch, *, scale: Scale | None) -> Tensor:
    """The predictions in the unit of the targets, with their number of dimensions."""
    values = _outputs(outputs)
    if scale is not None:
        values = values * values.new_tensor(scale[1]) + values.new_tensor(scale[0])
    flat = isinstance(batch.targets, Tensor) and batch.targets.dim() == 1
    return values[:, 0] if flat else values


def _difference(values: Tensor, targets: Tensor, kind: str, delta: float) -> Tensor:
    if kind == "huber":
        return functional.huber_loss(values, targets, delta=delta)
    return functional.mse_loss(values, targets) if kind == "mse" else functional.l1_loss(values, targets)


def _loss(outputs: Any, batch: Batch, *, kind: str, delta: float, scale: Scale | None) -> Tensor:
    values = _outputs(outputs)
    targets = _columns(batch.targets)
    if scale is not None:  # in float64: large offsets would cost digits
        mean, deviation = (targets.new_tensor(part, dtype=torch.float64) for part in scale)
        targets = (targets.double() - mean) / deviation
    return _difference(values, targets.to(values), kind, delta)


def _distill(outputs: Any, teacher: Any, batch: Batch, *, kind: str, delta: float) -> Tensor:
    return _difference(_outputs(outputs), _outputs(teacher).detach(), kind, delta)


def _check(outputs: Any, batch: Batch) -> None:
    values, targets, count = logits_of(outputs), batch.targets, batch.examples
    fits = values.dim() in (1, 2) and len(values) == count
    check_outputs(values, fits, f"numbers ({count},) or ({count}, targets)", "regression", count)
    wanted = f"({count},) or ({count}, 1)" if _columns(values).shape[1] == 1 else str(tuple(values.shape))
    fits = (
        isinstance(targets, Tensor)
        and targets.dim() in (1, 2)
        and _columns(targets).shape == _columns(values).shape
        and targets.dtype is not torch.bool
        and not targets.is_complex()
    )
    expected = f"one number for each that the network returns, {wanted}: give the model as many outputs as targets"
    check_targets(targets, fits, expected, "regression")
    if not torch.isfinite(targets).all():
        raise InvalidInput("the targets hold NaN or infinity; regression needs finite numbers: leave such examples out")


def _constant(batches: Iterable[Batch], *, scale: Scale | None, median: bool) -> Tensor:
    """The mean of the targets (K,), the median where the loss is absolute; as the network would give it."""
    targets = torch.cat([_columns(batch.targets.cpu().double()) for batch in batches])
    answer = targets.median(dim=0).values if median else targets.mean(dim=0)
    if scale is not None:
        answer = (answer - answer.new_tensor(scale[0])) / answer.new_tensor(scale[1])
    return answer.float()
