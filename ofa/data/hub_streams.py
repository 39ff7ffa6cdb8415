"""Tables that do not fit on this disk, row by row: of the Hugging Face hub or of files, by the library `datasets`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor

from ofa.data.batch_source import BatchSource, joined, one_line
from ofa.data.identity import identity_of
from ofa.data.seeding import mixed, seeded
from ofa.errors import InvalidInput
from ofa.processes import processes
from ofa.task.batch import Batch, as_batch

_FIRST = 2


@dataclass(frozen=True, eq=False)
class HubStream(BatchSource):
    """Rows of an `IterableDataset` of `datasets`, shuffled within a buffer, each rank its own shards.

    Attributes:
        table: rows in their stored order.
        collate: rows -> a batch.
        examples: how many rows it has, of all ranks.
        buffer: rows that an epoch is shuffled among; 0 leaves their order. Shards are shuffled too.
        files: what the rows are read from, in words that change when it does.
        origin: what to call it in a message.
        whole: whether these are all rows of their split. Ranks then read shards of their own; otherwise each reads all
            rows and keeps every so manieth, since a part of a split is not one of its shards.
    """

    table: Any
    collate: Callable[[Sequence[Any]], Any]
    examples: int
    buffer: int
    files: tuple[str, ...]
    origin: str
    whole: bool = True

    @property
    def count(self) -> int:
        """How many rows there are, of all ranks."""
        return self.examples

    @property
    def reads_by_rank(self) -> bool:
        """Yes: what others read is not read here."""
        return True

    @cached_property
    def first(self) -> Batch:
        """The first two rows."""
        return next(iter(self._batches(self.table, _FIRST, (0, 0), 0, 1)))

    @cached_property
    def identities(self) -> Tensor:
        """Of the files, each by its content or the hub's revision."""
        return torch.tensor([identity_of(file.encode()) for file in self.files])

    def steps(self, batch_size: int, *, drop_last: bool) -> int:
        """Returns how many batches an epoch has, each of all ranks together."""
        whole, rest = divmod(self.count, batch_size)
        return max(1, whole + (rest > 0 and not drop_last))

    def epoch(self, batch_size: int, *, seed: int, epoch: int, start: int, drop_last: bool) -> Iterator[Batch]:
        """Yields a rank's part of the batches of an epoch from batch `start` on; rows before it are read, not collated.

        Raises:
            InvalidInput: a batch that ranks cannot share evenly.
        """
        group = processes()
        rank, world = group.rank, group.count
        if batch_size % world:
            raise InvalidInput(f"{self.origin}: batch_size={batch_size} must be a multiple of the {world} processes")
        by_shard = world > 1 and self.whole
        table = _of_node(self.table, rank, world) if by_shard else self.table
        if self.buffer:
            table = _shuffled(table, mixed(seed, epoch) % 2**32, self.buffer)
        steps = self.steps(batch_size, drop_last=drop_last)
        # Shards may differ in length, and all ranks take as many steps: one that is through begins again.
        share = (0, 1) if by_shard else (rank, world)
        return self._batches(table, batch_size // world, (seed, epoch), start, steps, again=world > 1, share=share)

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Yields all rows, of every rank's, in the stored order: each rank judges the same."""
        return self._batches(self.table, batch_size, (0, 0), 0, -(-self.examples // batch_size))

    def some(self, count: int, seed: int) -> Batch:
        """Returns the inputs of the first `count` rows."""
        wanted = min(count, self.examples)
        size = min(64, wanted)
        taken = list(self._batches(self.table, size, (0, 0), 0, -(-wanted // size)))
        inputs = joined(taken)
        if inputs is None:
            taken = list(self._batches(self.table, wanted, (0, 0), 0, 1))
            inputs = taken[0].inputs
        return Batch(inputs).rows(0, wanted)

    def _batches(
        self,
        table: Any,
        batch_size: int,
        numbers: tuple[int, int],
        start: int,
        stop: int,
        *,
        again: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> Iterator[Batch]:
        rank, world = share
        before = start * batch_size * world
        rows: Iterator[Any] = islice(table.skip(before) if before else table, rank, None, world)
        if again:
            rows = chain(rows, islice(table, rank, None, world))
        for step in range(start, stop):
            taken: list[Any] = []
            while len(taken) < batch_size:
                try:
                    taken.append(next(rows))
                except StopIteration:
                    break
                except Exception as error:
                    row = step * batch_size + len(taken)
                    raise InvalidInput(f"{self.origin}: row {row} cannot be read: {one_line(error)}") from error
            if not taken:
                raise InvalidInput(
                    f"{self.origin} ended after {step} of {stop} batches of {batch_size}; give its number of rows as "
                    "examples"
                )
            with seeded(*numbers, step):
                try:
                    value = self.collate(taken)
                except Exception as error:
                    raise InvalidInput(f"{self.origin}: collate of batch {step}: {one_line(error)}") from error
            try:
                yield as_batch(value)
            except InvalidInput as error:
                raise InvalidInput(f"{self.origin}: {error}") from None


def _shuffled(table: Any, seed: int, buffer: int) -> Any:
    """Shards in another order, and rows within a buffer; one shard after the other.

    Newer versions of `datasets` can read several shards at once into the buffer, by threads for which they wait five
    seconds at the end of each epoch.
    """
    one_shard = "max_buffer_input_shards"
    known = one_shard in inspect.signature(table.shuffle).parameters
    return table.shuffle(seed=seed, buffer_size=buffer, **({one_shard: 1} if known else {}))


def _of_node(table: Any, rank: int, world: int) -> Any:
    from datasets.distributed import split_dataset_by_node

    return split_dataset_by_node(table, rank=rank, world_size=world)
