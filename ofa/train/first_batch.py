"""The check of what a training begins with: a batch, and what the network makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import logits_of, output_tensors
from ofa.modes import in_mode
from ofa.task import Batch, Task, as_batch
from ofa.train.teachers import Teacher, outputs_of


def check_first_batch(
    task: Task, net: nn.Module, batches: Iterator[Any], device: torch.device, teacher: Teacher | None = None
) -> None:
    """Checks that the outputs of a network and the targets of the first batch fit the task, and its teacher both.

    Modes, norm statistics and the global random state are left as they were.

    Raises:
        InvalidInput: no batch, what `task.check` refuses, or a teacher of other outputs.
    """
    value = next(batches, None)
    if value is None:
        raise InvalidInput("the training data give no batch; a training needs at least one")
    batch = as_batch(value).to(device)
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), in_mode(net, training=False), torch.no_grad():
        outputs = task.call(net, batch)
        task.check(outputs, batch)
        if teacher is not None:
            _check_teacher(task, net, outputs, teacher.network, batch)


def _check_teacher(task: Task, net: nn.Module, outputs: Any, teacher: nn.Module, batch: Batch) -> None:
    name = type(teacher).__name__
    try:
        taught = outputs_of(teacher, batch, task)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InvalidInput(f"the teacher {name} does not run on the training inputs: {reason:.200}") from error
    ours, theirs = _answers(outputs), _answers(taught)
    refusal = (
        f"the teacher {name} returns {_shapes(theirs)}, and {type(net).__name__} {_shapes(ours)}: give a teacher of "
        "the same outputs, such as one of the same classes in the same order"
    )
    if len(ours) != len(theirs) or any(
        output.dim() != other.dim() or output.shape[:2] != other.shape[:2]
        for output, other in zip(ours, theirs, strict=True)
    ):
        raise InvalidInput(refusal)
    if task.distill is not None:
        try:
            loss = task.distill(outputs, taught, batch)
        except (RuntimeError, ValueError, TypeError, LookupError) as error:
            raise InvalidInput(refusal) from error
        if not bool(torch.isfinite(loss).all()):
            raise InvalidInput(f"the loss against the teacher {name} is {float(loss)}; check its weights")


def _answers(outputs: Any) -> list[Tensor]:
    """What is compared with a teacher's: the logits where there are any, all tensors otherwise."""
    try:
        return [logits_of(outputs)]
    except InvalidInput:
        return [tensor for tensor in output_tensors(outputs) if tensor.dim()]


def _shapes(tensors: list[Tensor]) -> str:
    return ", ".join(str(tuple(tensor.shape)) for tensor in tensors) or "no tensor"
