"""Teachers: frozen networks whose outputs come with the batches of a training, computed once where that is possible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ofa.data.batch_source import BatchSource
from ofa.data.seeding import order_of
from ofa.data.split import Split
from ofa.errors import InvalidInput
from ofa.inputs import map_tensors, output_tensors
from ofa.modes import in_mode
from ofa.processes import ALONE, Processes
from ofa.task import Batch, Task, as_batch
from ofa.task.failed_batch import forms, named_batch

CACHE_BYTES = 2 * 2**30
_CHUNK = 1024  # examples that a teacher sees at a time


@dataclass(frozen=True, eq=False)
class Teacher:
    """A network that another one learns from; it is never trained.

    Attributes:
        network: any that a batch's inputs can be given to, and whose outputs the task's distillation takes.
        cache_bytes: the most that its outputs for all training examples may take in memory. They are computed once
            where that is enough and images are not augmented, otherwise with every batch; 0: always with every batch.

    Raises:
        InvalidInput: a negative number of bytes.
    """

    network: nn.Module
    cache_bytes: int = CACHE_BYTES

    def __post_init__(self) -> None:
        if self.cache_bytes < 0:
            raise InvalidInput(f"cache_bytes={self.cache_bytes!r} must be 0 or more")


@dataclass(frozen=True, eq=False)
class Teaching:
    """What adds a teacher's outputs to the batches of a training split.

    Attributes:
        augmented: whether the teacher sees other images every time, so that nothing can be kept.
        group: the processes that share the batches, see `ofa.data.shared_batches`.
    """

    teacher: Teacher
    task: Task
    split: Split
    batch_size: int
    seed: int
    device: torch.device
    augmented: bool
    group: Processes = ALONE

    def taught(self, batches: Iterable[Any], epoch: int, start: int) -> Iterator[Batch]:
        """Yields the group's batches of an epoch, from batch `start`, with the teacher's outputs."""
        order = None if self.stored is None else order_of(len(self.split), self.seed, epoch)
        for step, value in enumerate(batches, start):
            batch = as_batch(value).to(self.device)
            if order is None:
                with named_batch(batch, self._usual_forms, f"batch {step + 1} of epoch {epoch + 1}"):
                    outputs = self.outputs(batch)
                yield batch._replace(teacher=outputs)
            else:
                rows = order[step * self.batch_size : (step + 1) * self.batch_size]
                yield batch._replace(teacher=self.stored_of(self.group.rows(rows)))

    def _usual_forms(self) -> dict[str, str]:
        return forms(as_batch(next(iter(self.split.in_order(1)))))

    def outputs(self, batch: Batch) -> Any:
        """Returns the teacher's outputs for a batch."""
        return outputs_of(self.teacher.network, batch, self.task)

    def stored_of(self, rows: Tensor) -> Any:
        """Returns the teacher's outputs for some rows of the split, where they are kept."""
        count = len(self.split)

        def chosen(leaf: Tensor) -> Tensor:
            by_example = leaf.dim() > 0 and len(leaf) == count
            return leaf.index_select(0, rows.to(leaf.device)) if by_example else leaf

        return map_tensors(self.stored, chosen)

    @cached_property
    def stored(self) -> Any:
        """The teacher's outputs for every training example, in stored order; None where they are not kept."""
        if self.augmented or self.teacher.cache_bytes == 0 or isinstance(self.split.pixels, BatchSource):
            return None
        parts: list[Any] = []
        for value in self.split.in_order(_CHUNK):
            batch = as_batch(value).to(self.device)
            parts.append(self.outputs(batch))
            if len(parts) == 1:
                size = sum(leaf.numel() * leaf.element_size() for leaf in output_tensors(parts[0]))
                if size / batch.examples * len(self.split) > self.teacher.cache_bytes:
                    return None
        return _joined(parts)


def outputs_of(teacher: nn.Module, batch: Batch, task: Task) -> Any:
    """Returns the outputs of a teacher in eval mode for a batch; its mode is left as it was."""
    with in_mode(teacher, training=False), torch.no_grad():
        return task.call(teacher, batch)


def as_teacher(teacher: nn.Module | Teacher, learner: nn.Module, device: torch.device) -> Teacher:
    """Returns a teacher on a device.

    Raises:
        InvalidInput: it shares weights with the network that is trained, and would change with it.
    """
    teacher = teacher if isinstance(teacher, Teacher) else Teacher(teacher)
    own = {id(parameter) for parameter in learner.parameters()}
    shared = [name for name, parameter in teacher.network.named_parameters() if id(parameter) in own]
    if shared:
        raise InvalidInput(
            f"the teacher shares {len(shared)} weights with the network that is trained ({shared[0]}), and would "
            "change with it: give copy.deepcopy(network)"
        )
    teacher.network.to(device)
    return teacher


def _joined(parts: Sequence[Any]) -> Any:
    """The outputs of several batches as those of one; tensors that are not by example are those of the first."""
    first = output_tensors(parts[0])
    leaves = zip(*map(output_tensors, parts), strict=True)
    by_example = max((len(leaf) for leaf in first if leaf.dim()), default=0)
    whole = iter(
        [torch.cat(pieces) if pieces[0].dim() and len(pieces[0]) == by_example else pieces[0] for pieces in leaves]
    )
    return map_tensors(parts[0], lambda _: next(whole))
