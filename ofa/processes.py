"""Processes that work together, by `torch.distributed`: the rank of this one, and what they tell each other.

Where a process group is initialized, all its processes take part in a training; alone otherwise.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput

T = TypeVar("T")

_PATIENCE, _STEP = 2.0, 0.02  # seconds, for what the first process has to say of an error
_LONGEST_WAIT = timedelta(days=1)  # for the first process, which evaluates and writes alone; launchers end the others


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

    def told(self, numbers: Sequence[float]) -> list[float]:
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
        answers = self.gathered((value, None if error is None else _text(error)))
        if error is not None:
            raise error
        for rank, (_, text) in enumerate(answers):
            if text is not None:
                raise InvalidInput(f"process {rank} of {self.count}: {text}")
        return [cast(T, found) for found, _ in answers]

    def from_first(self, work: Callable[[], T]) -> T:
        """Returns what `work` returns in the first process, which alone does it, as if there were no others."""

        def done_alone() -> T:
            token = _acts_alone.set(True)
            try:
                return work()
            finally:
                _acts_alone.reset(token)

        return cast(T, self.each(lambda: done_alone() if self.is_first else None)[0])

    def merged(self, found: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Returns the entries that all processes found, each some of them."""
        return {name: value for part in self.each(found) for name, value in part.items()}

    def wait(self) -> None:
        """Waits for the others to be here too."""
        self.told([0.0])

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


# Settings of trainings that several processes share. With these values they decide nothing, so that outputs of older
# versions, which had no such settings, are those of the same training.
USUAL: Mapping[str, Any] = {"synchronize_norms": False, "archs_per_rank": "same"}

ALONE = Processes()
_acts_alone: ContextVar[bool] = ContextVar("acts_alone", default=False)


def processes() -> Processes:
    """Returns the processes of the group that is initialized; this one alone where there is none."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized() and not _acts_alone.get():
        return Processes(distributed.get_rank(), distributed.get_world_size())
    return ALONE


def launched() -> Processes:
    """Returns the processes that a launcher, such as torchrun, started this one among, by its environment.

    Raises:
        InvalidInput: variables that are no numbers.
    """
    names = ("RANK", "WORLD_SIZE")
    if not all(name in os.environ for name in (*names, "MASTER_ADDR")):
        return ALONE
    try:
        rank, count = (int(os.environ[name]) for name in names)
    except ValueError:
        given = ", ".join(f"{name}={os.environ[name]!r}" for name in names)
        raise InvalidInput(f"{given} of the environment must be whole numbers, as torchrun sets them") from None
    return Processes(rank, count) if count > 1 else ALONE


@contextmanager
def process_group(device: str = "cpu") -> Iterator[Processes]:
    """Yields the launched processes as an initialized group: gloo on CPUs, NCCL between GPUs.

    Raises:
        InvalidInput: fewer GPUs on this machine than processes, or another process that ended.
        OtherProcessFailed: in a process but the first, an error that the first has too, or that follows from its end.
    """
    if launched().alone or not processes().alone:
        yield processes()
        return
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]
    from torch.distributed.rendezvous import rendezvous

    backend = "gloo"
    if torch.device(device).type == "cuda":
        local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= there:
            raise InvalidInput(
                f"device={device}: process {local} of this machine has no GPU of its own, since there are {there}: "
                f"start at most {there} with --nproc_per_node, or give device=cpu"
            )
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    store, rank, count = next(rendezvous("env://"))
    torch.distributed.init_process_group(
        backend, store=PrefixStore("ofa", store), rank=rank, world_size=count, timeout=_LONGEST_WAIT
    )
    try:
        yield processes()
    except Exception as error:  # the group is left to end with the process, since others may not answer any more
        text, follows = _text(error), _is_lost_connection(error)
        said = _said_by_first(store, rank, count, text)
        if rank == 0:
            if follows:
                raise InvalidInput("another process of the training ended; it says why, or was killed") from error
            raise
        if follows or said == text:
            raise OtherProcessFailed(text) from error
        raise InvalidInput(f"process {rank} of {count}: {text}") from error
    torch.distributed.destroy_process_group()


class OtherProcessFailed(InvalidInput):
    """An error that another process tells the user."""


def _said_by_first(store: Any, rank: int, count: int, text: str) -> str | None:
    """The error of the first process, if it soon has one; that one says `text` and waits until the others know."""
    until = time.monotonic() + _PATIENCE
    found = text if rank == 0 else None
    try:
        if rank == 0:
            store.set("error", text)
        while time.monotonic() < until:
            if rank == 0 and store.add("read", 0) >= count - 1:
                break
            if rank > 0 and store.check(["error"]):
                found = str(store.get("error").decode())
                store.add("read", 1)
                break
            time.sleep(_STEP)
    except RuntimeError:  # the store is gone, with whom held it
        pass
    return found


def _is_lost_connection(error: Exception) -> bool:
    lost = isinstance(error, torch.distributed.DistError)
    return lost or (isinstance(error, RuntimeError) and "gloo/" in str(error))


def _device() -> torch.device:
    """Where numbers are exchanged: on the CPU where the group can, since GPUs would have to be waited for."""
    if processes().alone or "cpu:" in torch.distributed.get_backend_config() or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def _text(error: Exception) -> str:
    said = " ".join(str(error).split())
    return said if isinstance(error, InvalidInput) else f"{type(error).__name__}: {said:.300}"
