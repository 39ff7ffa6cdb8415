"""Own loss: networks that compute their loss themselves, where they are called with the targets."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from ofa.errors import InvalidInput, nearest
from ofa.inputs import as_inputs
from ofa.task.batch import Batch
from ofa.task.losses import full_precision
from ofa.task.task import Task


def own_loss(
    data: Any = None,
    *,
    judge: Callable[[Any], Task] | Task,
    argument: str | None = "labels",
) -> Task:
    """Returns the task of a network that returns its own loss when it is called with the targets.

    The loss is what outputs name `loss`, the first of a tuple, or the sum of a dictionary of losses, as detectors of
    torchvision return. Metrics, distillation, checks and baseline are another task's.

    Args:
        data: given to `judge`.
        judge: the other task, or a function that makes it from the data set, such as `ofa.task.classification`.
        argument: the name under which the network takes the targets; None: by position, after its inputs.

    Raises:
        InvalidInput: `judge` makes no Task.
    """
    task = judge if isinstance(judge, Task) else judge(data)
    if not isinstance(task, Task):
        raise InvalidInput(f"judge made a {type(task).__name__}; it must be, or make, an ofa.task.Task")
    # Metrics that share their statistics share them here, too: they are then computed once.
    judged = {
        id(each.statistics): partial(_statistics, statistics=each.statistics) for each in task.metrics + task.details
    }
    return replace(
        task,
        loss=_loss,
        call=partial(_call, argument=argument),
        metrics=tuple(replace(metric, statistics=judged[id(metric.statistics)]) for metric in task.metrics),
        details=tuple(replace(detail, statistics=judged[id(detail.statistics)]) for detail in task.details),
        distill=None if task.distill is None else partial(_distill, distill=task.distill),
        check=partial(_check, check=task.check),
        predictions=partial(_predictions, predictions=task.predictions),
    )


def loss_of(outputs: Any) -> Tensor:
    """Returns the loss among outputs: they are it, name it `loss`, or it is the first of a tuple or the sum of all.

    Raises:
        InvalidInput: there is none.
    """
    loss: Any = outputs
    if isinstance(outputs, Mapping):
        scalars = [value for value in outputs.values() if isinstance(value, Tensor) and value.dim() == 0]
        every = bool(scalars) and len(scalars) == len(outputs)
        loss = outputs["loss"] if "loss" in outputs else sum(scalars) if every else None
    elif getattr(outputs, "loss", None) is not None:
        loss = outputs.loss
    elif isinstance(outputs, tuple | list) and outputs:
        loss = outputs[0]
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        keys = f" with {', '.join(map(str, outputs))}" if isinstance(outputs, Mapping) else ""
        raise InvalidInput(
            f"the network returns a {type(outputs).__name__}{keys}, and no loss; it must be named `loss`, or be the "
            "first of a tuple: see which argument takes the targets, and name it in task.argument"
        )
    return full_precision(loss.reshape(()))


def answer_of(outputs: Any) -> Any:
    """Returns the outputs without the loss; the second of a tuple that begins with it."""
    if isinstance(outputs, Mapping):
        return {name: value for name, value in outputs.items() if name != "loss"} if "loss" in outputs else outputs
    if isinstance(outputs, tuple) and len(outputs) > 1 and isinstance(outputs[0], Tensor) and outputs[0].dim() == 0:
        return outputs[1]
    return outputs


def _call(network: nn.Module, batch: Batch, *, argument: str | None) -> Any:
    inputs = as_inputs(batch.inputs)
    if batch.targets is None:
        return inputs.call(network)
    if argument is None:
        return network(*inputs.args, batch.targets, **inputs.kwargs)
    try:
        return network(*inputs.args, **inputs.kwargs, **{argument: batch.targets})
    except TypeError as error:
        taken = inspect.signature(network.forward).parameters
        if argument in taken or any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
            raise
        raise InvalidInput(
            f"argument={argument!r} of own_loss: {type(network).__name__} takes its targets by another name; "
            f"{nearest(argument, taken)}"
        ) from error


def _loss(outputs: Any, batch: Batch) -> Tensor:
    return loss_of(outputs)


def _distill(outputs: Any, teacher: Any, batch: Batch, *, distill: Callable[[Any, Any, Batch], Tensor]) -> Tensor:
    return distill(answer_of(outputs), answer_of(teacher), batch)


def _check(outputs: Any, batch: Batch, *, check: Callable[[Any, Batch], None]) -> None:
    if not isinstance(outputs, list):  # boxes of each image, which detectors return in eval mode, without a loss
        loss_of(outputs)
    only_losses = isinstance(outputs, Mapping) and all(
        isinstance(value, Tensor) and value.dim() == 0 for value in outputs.values()
    )
    if not only_losses:  # in train mode some detectors return nothing else
        check(answer_of(outputs), batch)


def _predictions(outputs: Any, batch: Batch, *, predictions: Callable[[Any, Batch], Any] | None) -> Any:
    answer = answer_of(outputs)
    return answer if predictions is None else predictions(answer, batch)


def _statistics(outputs: Any, batch: Batch, *, statistics: Callable[[Any, Batch], Any]) -> Any:
    return statistics(answer_of(outputs), batch)
