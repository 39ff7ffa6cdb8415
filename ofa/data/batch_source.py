"""BatchSource: examples that come in batches, inputs and targets together, and are never all in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.inputs import Inputs, as_inputs
from ofa.task.batch import Batch


class BatchSource(ABC):
    """What a loader gives, in place of pixels and targets that are held in memory.

    Batches of an epoch are a function of (seed, epoch, step): those from a step on are the same bits as those of a
    whole epoch.
    """

    @property
    @abstractmethod
    def count(self) -> int:
        """How many examples."""

    @property
    def reads_by_rank(self) -> bool:
        """Whether each process of a group gets rows of its own from `epoch`; otherwise all get the same."""
        return False

    @property
    def makes_its_own_sizes(self) -> bool:
        """Whether batches come in sizes of their own, whatever `batch_size` is asked for."""
        return False

    @property
    @abstractmethod
    def identities(self) -> Tensor:
        """What tells these examples from others, (M,) int64: of those that are looked at."""

    @property
    @abstractmethod
    def first(self) -> Batch:
        """Some of the first examples, always the same."""

    @abstractmethod
    def steps(self, batch_size: int, *, drop_last: bool) -> int:
        """Returns how many batches an epoch has."""

    @abstractmethod
    def epoch(self, batch_size: int, *, seed: int, epoch: int, start: int, drop_last: bool) -> Iterator[Batch]:
        """Yields the batches of an epoch from batch `start` on, on the CPU.

        Raises:
            InvalidInput: an example that cannot be read, or fewer batches than there should be, in one line.
        """

    @abstractmethod
    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Yields every example once, in the stored order."""

    @abstractmethod
    def some(self, count: int, seed: int) -> Batch:
        """Returns up to `count` examples, always the same for a seed."""

    def take(self, positions: Tensor) -> Batch:
        """Returns the examples at some positions.

        Raises:
            InvalidInput: they have none, since they come one after the other.
        """
        raise InvalidInput("examples that come one after the other cannot be taken by number: use in_order or batches")

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...) of the first tensor of the inputs."""
        inputs = as_inputs(self.first.inputs)
        tensor = next(tensor for tensor in inputs.tensors().values() if inputs.is_batched(tensor))
        return (self.count, *map(int, tensor.shape[1:]))


def joined(batches: Sequence[Batch]) -> Any | None:
    """Returns the inputs of several batches as one; None where their tensors differ in more than their examples."""
    inputs = [as_inputs(batch.inputs) for batch in batches]
    rows = [list(each.tensors().values()) for each in inputs]
    if len({len(each) for each in rows}) > 1:
        return None
    tensors = []
    for column in zip(*rows, strict=True):
        if not inputs[0].is_batched(column[0]):
            tensors.append(column[0])
        elif len({each.shape[1:] for each in column}) > 1:
            return None
        else:
            tensors.append(torch.cat(column))
    if isinstance(batches[0].inputs, Tensor):
        return tensors[0]
    arguments, named = inputs[0].filled(tensors)
    return Inputs(*arguments, **named)


def one_line(error: BaseException) -> str:
    """Returns what an error of somebody's code says, in one line with its type."""
    if isinstance(error, InvalidInput):
        return str(error)
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said:.300}" if said else type(error).__name__
