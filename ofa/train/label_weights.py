"""Label weights: how much of a network's loss is against targets, where the rest is against a teacher's outputs.

A teacher that has learned nothing yet teaches noise; one that is good tells more than a target does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.inputs import logits_of
from ofa.task import Batch
from ofa.train.step import StepContext

# (teacher's outputs, batch, context of the step) -> the fraction of the loss that is against targets.
LabelWeight: TypeAlias = Callable[[Any, Batch, StepContext], "float | Tensor"]


def label_weight_at(weight: float | LabelWeight, teacher: Any, batch: Batch, context: StepContext) -> float | Tensor:
    """Returns the fraction that a step's losses are against targets: a number as it is, a function's value."""
    return weight(teacher, batch, context) if callable(weight) else weight


def check_label_weight(weight: float | LabelWeight) -> None:
    """Checks a label weight before it is used.

    Raises:
        InvalidInput: a number that is no fraction.
    """
    if not callable(weight):
        _check_fractions(label_weight=weight)


def by_progress(
    teacher: Any, batch: Batch, context: StepContext, *, start: float = 1.0, end: float = 0.0, until: float = 1.0
) -> float:
    """Returns a fraction that goes linearly from `start` to `end`, which it has from the fraction `until` of the steps.

    Raises:
        InvalidInput: an argument that is no fraction.
    """
    _check_fractions(start=start, end=end, until=until)
    done = context.schedule_step / context.total_steps
    return end if done >= until else start + (end - start) * done / until


def by_skill(
    teacher: Any, batch: Batch, context: StepContext, *, start: float = 1.0, end: float = 0.0
) -> float | Tensor:
    """Returns a fraction, a scalar, that goes from `start` to `end` as the teacher's `skill` goes from 0 to 1.

    Where the task has no constant answer, which the skill is measured by, it goes with the steps, as `by_progress`.

    Raises:
        InvalidInput: `start` or `end` is no fraction.
    """
    _check_fractions(start=start, end=end)
    if context.task.constant is None:
        return by_progress(teacher, batch, context, start=start, end=end)
    return start + (end - start) * skill(teacher, batch, context)


def with_teacher(
    teacher: Any, batch: Batch, context: StepContext, *, start: float = 1.0, end: float = 0.0
) -> float | Tensor:
    """Returns `by_skill` of a teacher that the training has, and 1 where the largest of the same step would teach.

    In trainings of a few dozen epochs labels alone teach more than the largest does (docs/supernet_quality.md).

    Raises:
        InvalidInput: `start` or `end` is no fraction.
    """
    _check_fractions(start=start, end=end)
    if batch.teacher is None and context.guide is None:
        return 1.0
    return by_skill(teacher, batch, context, start=start, end=end)


def skill(teacher: Any, batch: Batch, context: StepContext) -> Tensor:
    """Returns how much better than a constant answer a teacher is on a batch, a scalar tensor from 0 to 1.

    It is 1 - (its loss) / (loss of the best constant answer to the batch's targets): of a regression, the share of
    variance that it explains; of a classification, the share of nats that it saves. Of several processes both losses
    are means, each process with the best constant answer to its own targets. Source of the measure: Murphy 1988, Skill
    scores based on the mean square error.

    Raises:
        InvalidInput: the task has no constant answer.
    """
    if context.task.constant is None:
        raise InvalidInput(
            f"task {context.task.name!r} has no constant answer that a teacher's skill could be measured by: give it "
            "one (ofa.task.Task.constant)"
        )
    with torch.no_grad():
        outputs = logits_of(teacher)
        constant = context.task.constant([batch]).to(outputs).expand_as(outputs)
        least = torch.finfo(outputs.dtype).tiny
        losses = context.mean(torch.stack([context.task.loss(outputs, batch), context.task.loss(constant, batch)]))
        ratio = losses[0] / losses[1].clamp(min=least)
        return (1 - ratio).clamp(0, 1)


def _check_fractions(**fractions: float) -> None:
    for name, value in fractions.items():
        if not 0 <= value <= 1:
            raise InvalidInput(f"{name}={value!r} is a fraction: at least 0 and at most 1")
