"""Distillation: the loss of a network against a teacher's outputs, the task's own or one that is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from torch import Tensor

from ofa.errors import InvalidInput
from ofa.inputs import logits_of
from ofa.task import Batch, Task

# (logits, teacher's logits) -> scalar loss, in place of the task's; logits are what `ofa.inputs.logits_of` finds.
Distill: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def distill_loss(task: Task, outputs: Any, teacher: Any, batch: Batch, distill: Distill | None = None) -> Tensor:
    """Returns the loss of outputs against a teacher's, a scalar: by `distill` if given, otherwise by the task.

    Raises:
        InvalidInput: neither is there.
    """
    if distill is not None:
        return distill(logits_of(outputs), logits_of(teacher))
    if task.distill is None:
        raise InvalidInput(
            f"task {task.name!r} knows no distillation: give it one (ofa.task.Task.distill), or learn from targets "
            "alone: train.strategy.label_weight=1 of sandwich, distill=0 of phases, of pruning and of fine-tuning"
        )
    return task.distill(outputs, teacher, batch)


def with_temperature(task: Task, temperature: float | None) -> Task:
    """Returns the task with another temperature of distillation; the very same where it is None.

    Raises:
        InvalidInput: the task's distillation takes no temperature.
    """
    if temperature is None or task.distill is None:
        return task
    function = task.distill.func if isinstance(task.distill, partial) else task.distill
    if "temperature" not in inspect.signature(function).parameters:
        raise InvalidInput(
            f"temperature={temperature!r}: distillation of task {task.name!r} has no temperature; leave it out"
        )
    arguments: dict[str, Any] = {"temperature": temperature}
    return replace(task, distill=partial(task.distill, **arguments))
