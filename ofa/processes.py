"""Processes that work together, by `torch.distributed`: the rank of this one, and what they tell each other.

Where a process group is initialized, all its processes take part in a training; alone otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """All processes of a group, as one of them sees it.

    Attributes:
        rank: of this one, from 0; the first prints and writes.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that prints and writes."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.count == 1

    def rows(self, rows: Tensor) -> Tensor:
        """Returns those of a batch's rows that this process learns: each so manieth from its rank on."""
        return rows[self.rank :: self.count]

    def sum_(self, tensor: Tensor) -> Tensor:
        """Returns the tensor, into which those of all processes were added: the same bits everywhere."""
        if not self.alone:
            torch.distributed.all_reduce(tensor)
        return tensor

    def stacked(self, tensor: Tensor) -> Tensor:
        """Returns the tensors of all processes, of one shape, by rank (count, ...)."""
        if self.alone:
            return tensor[None]
        parts = [torch.empty_like(tensor) for _ in range(self.count)]
        torch.distributed.all_gather(parts, tensor)
        return torch.stack(parts)

    def agreed(self, tensor: Tensor) -> Tensor:
        """Returns the same bits in all processes: the tensor where all have the same, the mean of theirs otherwise."""
        if self.alone:
            return tensor
        extremes = torch.stack([tensor, -tensor])
        torch.distributed.all_reduce(extremes, torch.distributed.ReduceOp.MAX)
        return tensor if torch.equal(extremes[0], -extremes[1]) else self.sum_(tensor.clone()) / self.count

    def sums(self, numbers: Sequence[float]) -> list[float]:
        """Returns the sum over all processes of each of some numbers."""
        return cast(list[float], self.sum_(torch.tensor(numbers, dtype=torch.float64, device=_device())).tolist())

    def gathered(self, value: T) -> list[T]:
        """Returns what each process gives, by rank."""
        if self.alone:
            return [value]
        values: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(values, value)
        return values

    def each(self, work: Callable[[], T]) -> list[T]:
        """Returns what `work` returns in each process, by rank; where it fails in one, it does in all.

        Raises:
            InvalidInput: it failed in another process, with the message of there.
        """
        if self.alone:
            return [work()]
        value, error = None, None
        try:
            value = work()
        except Exception as raised:
            error = raised
        answers = self.gathered((value, None if error is None else one_line(error)))
        if error is not None:
            raise error
        for rank, (_, text) in enumerate(answers):
            if text is not None:
                raise InvalidInput(f"process {rank} of {self.count}: {text}")
        return [cast(T, answer) for answer, _ in answers]

    def from_first(self, work: Callable[[], T]) -> T:
        """Returns what `work` returns in the first process, which alone does it, as if there were no others."""

        def done_alone() -> T:
            token = _acts_alone.set(True)
            try:
                return work()
            finally:
                _acts_alone.reset(token)

        return cast(T, self.each(lambda: done_alone() if self.is_first else None)[0])

    def merged(self, compute: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Returns the entries that all processes found, each some of them."""
        return {name: value for part in self.each(compute) for name, value in part.items()}

    def wait(self) -> None:
        """Waits for the others to be here too."""
        self.sums([0.0])

    def make_alike_(self, model: nn.Module) -> None:
        """Gives all processes the first one's parameters and buffers."""
        if self.alone:
            return
        for tensor in [*model.parameters(), *model.buffers()]:
            data = tensor.detach()
            dense = data.contiguous()
            torch.distributed.broadcast(dense, src=0)
            if dense is not data:
                data.copy_(dense)


ALONE = Processes()
_acts_alone: ContextVar[bool] = ContextVar("acts_alone", default=False)


def processes() -> Processes:
    """Returns the processes of the group that is initialized; this one alone where there is none."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized() and not _acts_alone.get():
        return Processes(distributed.get_rank(), distributed.get_world_size())
    return ALONE


def _device() -> torch.device:
    """Where numbers are exchanged: on the CPU where the group can, since GPUs would have to be waited for."""
    if processes().alone or "cpu:" in torch.distributed.get_backend_config() or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def one_line(error: Exception) -> str:
    """Returns what an error says, with its type where it is not the user's."""
    said = " ".join(str(error).split())
    return said if isinstance(error, InvalidInput) else f"{type(error).__name__}: {said:.300}"
