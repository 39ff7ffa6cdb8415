"""A map-style data set (with a length and rows by number) as batches that start at any step, read by workers."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import current_process
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ofa.data.batch_source import BatchSource, joined, one_line
from ofa.data.identity import identity_of
from ofa.data.seeding import order_of, seeded
from ofa.data.targets import content_of
from ofa.errors import InvalidInput
from ofa.task.batch import Batch, as_batch

_FIRST = 2  # rows that say what batches look like
_PIECE = 64  # rows that are read at once where many are wanted
_IN_ORDER = 0x6F66  # in place of an epoch in the seeds of evaluation: its batches are always the same

Job = tuple[tuple[int, ...], list[int]]  # what a batch is seeded with, and its rows


@dataclass(frozen=True, eq=False)
class MapStyle(BatchSource):
    """Rows of a map-style data set.

    Attributes:
        dataset: has `len()` and rows by number: a `torch.utils.data.Dataset`, a `datasets.Dataset`, a list.
        rows: which of its rows these examples are, (N,) int64.
        collate: rows -> a batch.
        workers: processes that read batches ahead; 0 reads in this one, as one without children of its own does. The
            batches are the same bits.
        origin: what to call it in a message, such as "train of my_set".
        looked_at: rows whose content is in `identities`.
    """

    dataset: Any
    rows: Tensor
    collate: Callable[[Sequence[Any]], Any]
    workers: int = 0
    origin: str = "the data set"
    looked_at: int = 128

    @property
    def count(self) -> int:
        """How many rows."""
        return len(self.rows)

    def steps(self, batch_size: int, *, drop_last: bool) -> int:
        """Returns how many batches an epoch has; an incomplete one counts if it is the only one."""
        whole, rest = divmod(len(self.rows), batch_size)
        return max(1, whole + (rest > 0 and not drop_last))

    def epoch(self, batch_size: int, *, seed: int, epoch: int, start: int, drop_last: bool) -> Iterator[Batch]:
        """Yields the batches of an epoch from batch `start` on; nothing before it is read."""
        order = self.rows[order_of(len(self.rows), seed, epoch)]
        steps = range(start, self.steps(batch_size, drop_last=drop_last))
        jobs = (((seed, epoch, step), order[step * batch_size : (step + 1) * batch_size].tolist()) for step in steps)
        return self._read(list(jobs))

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Yields every row once, in order."""
        pieces = torch.split(self.rows, batch_size)
        return self._read([((0, _IN_ORDER, step), rows.tolist()) for step, rows in enumerate(pieces)])

    def some(self, count: int, seed: int) -> Batch:
        """Returns the inputs of up to `count` rows, the first of a permutation by `seed`."""
        order = torch.randperm(len(self.rows), generator=torch.Generator().manual_seed(seed))
        pieces = enumerate(torch.split(self.rows[order[:count]], _PIECE))
        inputs = joined(list(self._read([((seed, _IN_ORDER, number), rows.tolist()) for number, rows in pieces])))
        # Each piece may be padded to its longest row; all are padded alike when they are one piece.
        return Batch(inputs) if inputs is not None else self.take(order[:count])

    @cached_property
    def first(self) -> Batch:
        """The first two rows."""
        return self.take(torch.arange(min(_FIRST, len(self.rows))))

    @cached_property
    def identities(self) -> Tensor:
        """Of up to `looked_at` rows, evenly spaced, each by its content; and which rows of the data set there are.

        Where reading a row twice from the same seed gives two contents, only the latter.
        """
        which = identity_of(self.rows.numpy().astype("<i8").tobytes())
        positions = torch.linspace(0, len(self.rows) - 1, min(len(self.rows), self.looked_at)).long()
        rows = self.rows[positions].tolist()
        contents = [self._content(row) for row in rows[:1] * 2 + rows[1:]]
        if contents[0] != contents[1]:
            return torch.tensor([which])
        return torch.tensor([*contents[1:], which])

    def take(self, positions: Tensor) -> Batch:
        """Returns the rows at some positions among these."""
        rows = self.rows[positions].tolist()
        return self._batch(_read_rows(self.dataset, self.collate, ((0, _IN_ORDER), rows)))

    def _content(self, row: int) -> int:
        with seeded(0, row):
            try:
                return identity_of(content_of(_rows_of(self.dataset, [row])[0]))
            except Exception as error:
                raise InvalidInput(f"{self.origin}: row {row} cannot be read: {one_line(error)}") from error

    def _read(self, jobs: list[Job]) -> Iterator[Batch]:
        # An evaluator of a search may have no processes of its own.
        if self.workers == 0 or len(jobs) < 2 or current_process().daemon:
            return (self._batch(_read_rows(self.dataset, self.collate, job)) for job in jobs)
        return self._read_ahead(jobs)

    def _read_ahead(self, jobs: list[Job]) -> Iterator[Batch]:
        loader: DataLoader[Any] = DataLoader(
            _Jobs(self.dataset, self.collate),
            batch_size=None,  # a job is a batch
            sampler=jobs,
            num_workers=min(self.workers, len(jobs)),
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # it would draw from the global one
        )
        values = _begun(loader)
        for number in range(len(jobs)):
            try:
                value = next(values)
            except StopIteration:
                raise InvalidInput(f"{self.origin} ended after {number} of {len(jobs)} batches") from None
            except RuntimeError as error:  # of a worker that is gone
                raise InvalidInput(f"{self.origin}: {_why_it_ended(values, error)}") from error
            yield self._batch(value)

    def _batch(self, value: Any) -> Batch:
        if isinstance(value, _Failure):
            raise InvalidInput(f"{self.origin}: {value.message}")
        try:
            return as_batch(value)
        except InvalidInput as error:
            raise InvalidInput(f"{self.origin}: {error}") from None


@dataclass(frozen=True)
class _Failure:
    """What went wrong where a batch was read: exceptions of any kind come as a line from another process."""

    message: str


@dataclass(frozen=True, eq=False)
class _Jobs(TorchDataset[Any]):
    """Batches by job, for the workers of a DataLoader."""

    dataset: Any
    collate: Callable[[Sequence[Any]], Any]

    def __getitem__(self, job: Job) -> Any:
        return _read_rows(self.dataset, self.collate, job)


def _begun(loader: DataLoader[Any]) -> Iterator[Any]:
    """The iterator of a loader, with the process's handler of ended children as it was.

    Torch's own stays for good, and under it OpenVINO and ncnn in one process crash when a child ends. Without it a
    worker that was killed is found within 5 seconds.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        return iter(loader)
    handler = signal.getsignal(signal.SIGCHLD)
    values = iter(loader)
    if handler is not None:
        signal.signal(signal.SIGCHLD, handler)
    return values


def _why_it_ended(values: Any, error: RuntimeError) -> str:
    """Why a worker process of a loader ended, and what helps: torch names its number alone."""
    codes = [process.exitcode or 0 for process in getattr(values, "_workers", ())]
    killed = next((-code for code in codes if code < 0), 0)
    if not killed:
        return f"a worker process ended: {one_line(error)}; num_workers=0 reads in this process and says why"
    name = next((each.name for each in signal.Signals if each == killed), f"signal {killed}")
    return (
        f"a worker process was killed by {name}, as happens where memory, or shared memory, runs out: free some, or "
        "take fewer num_workers; the same command goes on"
    )


def _as_it_is(value: Any) -> Any:
    return value


def _read_rows(dataset: Any, collate: Callable[[Sequence[Any]], Any], job: Job) -> Any:
    """The collated rows of a job, or a `_Failure`."""
    numbers, rows = job
    with seeded(*numbers):
        try:
            read = _rows_of(dataset, rows)
        except Exception:
            return _failure_of(dataset, rows)
        try:
            return collate(read)
        except Exception as error:
            shown = ", ".join(map(str, rows[:4])) + (", ..." if len(rows) > 4 else "")
            return _Failure(f"collate of rows {shown}: {one_line(error)}")


def _rows_of(dataset: Any, rows: list[int]) -> Sequence[Any]:
    if hasattr(dataset, "__getitems__"):
        read: Sequence[Any] = dataset.__getitems__(rows)
        return read
    return [dataset[row] for row in rows]


def _failure_of(dataset: Any, rows: list[int]) -> _Failure:
    for row in rows:
        try:
            _rows_of(dataset, [row])
        except Exception as error:
            return _Failure(f"row {row} cannot be read: {one_line(error)}")
    return _Failure(f"rows {rows[0]} to {rows[-1]} cannot be read together, and each of them can")
