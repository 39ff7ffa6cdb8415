"""Batches whose order and augmentation are functions of (seed, epoch, step): training starts at any step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ofa.data.augmenting import AnyAugment, apply, check_augment
from ofa.data.batch_source import BatchSource
from ofa.data.input_table import InputTable
from ofa.data.seeding import generator_of, order_of
from ofa.data.split import Split
from ofa.data.stored_arrays import StoredArray
from ofa.data.targets import Targets, rows_of_targets
from ofa.errors import InvalidInput
from ofa.processes import ALONE, Processes
from ofa.task.batch import Batch, on_device

_AHEAD = 3  # batches that are being decoded while one is in use


def steps_per_epoch(split: Split, batch_size: int, *, drop_last: bool = True) -> int:
    """Returns how many batches `batches` yields in an epoch."""
    if isinstance(split.pixels, BatchSource):
        return split.pixels.steps(batch_size, drop_last=drop_last)
    count, rest = divmod(len(split), batch_size)
    return max(1, count + (rest > 0 and not drop_last))


def batches(
    split: Split,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    start: int = 0,
    device: torch.device | str = "cpu",
    augment: AnyAugment | None = None,
    drop_last: bool = True,
) -> Iterator[tuple[Any, Targets]]:
    """Returns an iterator of an epoch's (inputs, targets) from batch `start`: images (N, C, H, W) float32, labels (N,).

    The order is a function of (seed, epoch) and the augmentation of a batch of (seed, epoch, step): batches
    from `start` on are the same bits as those of a whole epoch, and nothing before them is decoded. With
    `drop_last` an incomplete batch at the end is left out, unless it is the only one. Large splits are
    decoded ahead.

    Args:
        augment: a function of (images, generator), or of (images, targets, generator) for what moves both.

    Raises:
        InvalidInput: a batch size below 1, a negative seed, epoch or start, an augmentation of what is no image, or one
            that would move images away from their masks or boxes.
    """
    epochs = _Epochs(split, batch_size, seed, device, augment, drop_last, ALONE)
    return epochs.batches(epoch, start)


def shared_batches(
    split: Split,
    batch_size: int,
    group: Processes,
    *,
    seed: int,
    epoch: int,
    start: int = 0,
    device: torch.device | str = "cpu",
    augment: AnyAugment | None = None,
    drop_last: bool = True,
) -> Iterator[tuple[Any, Targets]]:
    """Returns an iterator of what one process of a group learns of an epoch's batches, from batch `start` on.

    That is each so manieth row of the batches that `batches` makes, all of `batch_size` together. They are augmented as
    there, so that the number of processes changes nothing, where pixels are in memory or a loader gives them;
    otherwise each process decodes its own rows alone, and their augmentation depends on its rank.
    """
    return _Epochs(split, batch_size, seed, device, augment, drop_last, group).batches(epoch, start)


@dataclass(frozen=True)
class _Epochs:
    split: Split
    batch_size: int
    seed: int
    device: torch.device | str
    augment: AnyAugment | None
    drop_last: bool
    group: Processes

    def batches(self, epoch: int, start: int) -> Iterator[tuple[Any, Targets]]:
        """Checks all first, so that errors come before the first batch."""
        split, size = self.split, self.batch_size
        if size < 1:
            raise InvalidInput(f"batch_size={size}: must be at least 1")
        if min(self.seed, epoch, start) < 0:
            raise InvalidInput(f"seed={self.seed}, epoch={epoch}, start={start}: none may be negative")
        if self.augment is not None:
            check_augment(self.augment, *_kind(split))
        if isinstance(split.pixels, BatchSource):
            loaded = split.pixels.epoch(size, seed=self.seed, epoch=epoch, start=start, drop_last=self.drop_last)
            return self._from_source(loaded, epoch, start, reads_its_own=split.pixels.reads_by_rank)
        steps = range(start, steps_per_epoch(split, size, drop_last=self.drop_last))
        make = partial(self._made, epoch, order_of(len(split), self.seed, epoch))
        return map(make, steps) if split.in_memory else _ahead(make, steps)

    def _made(self, epoch: int, order: Tensor, step: int) -> tuple[Any, Targets]:
        split, group = self.split, self.group
        rows = order[step * self.batch_size : (step + 1) * self.batch_size]
        whole = self.augment is not None and split.in_memory  # an augmentation may mix examples
        mine = rows if whole else group.rows(rows)
        images = split.preprocessing.unit(split.stored(mine).to(self.device))
        targets = on_device(rows_of_targets(split.targets, mine), self.device)
        images, targets = self._augmented(images, targets, (epoch, step), by_rank=not whole)
        if whole and not group.alone:
            batch = Batch(images, targets)
            images, targets, _ = batch.rows(group.rank, batch.examples, group.count)
        return split.preprocessing.normalize(images), targets

    def _from_source(
        self, loaded: Iterator[Batch], epoch: int, start: int, *, reads_its_own: bool
    ) -> Iterator[tuple[Any, Targets]]:
        """Yields what a loader gives, on a device, augmented."""
        for step, batch in enumerate(loaded, start):
            moved = batch.to(self.device)
            inputs, targets = self._augmented(moved.inputs, moved.targets, (epoch, step), by_rank=reads_its_own)
            made = Batch(inputs, targets)
            if not (self.group.alone or reads_its_own):
                made = made.rows(self.group.rank, made.examples, self.group.count)
            yield self.split.seen(made)

    def _augmented(
        self, images: Any, targets: Targets, position: tuple[int, int], *, by_rank: bool
    ) -> tuple[Any, Targets]:
        if self.augment is None:
            return images, targets
        rank = [self.group.rank] if by_rank and self.group.rank else []
        return apply(self.augment, images, targets, generator_of(self.seed, *position, *rank))


def _kind(split: Split) -> tuple[Any, Targets]:
    """Inputs before they are normalized and targets of one example, for their types: no image is decoded for it."""
    if isinstance(split.pixels, BatchSource | InputTable):
        return split.first
    dtype = split.pixels.dtype if isinstance(split.pixels, Tensor | StoredArray) else torch.float32
    stored = torch.zeros(1, *split.pixels.shape[1:], dtype=dtype)
    return split.preprocessing.unit(stored), rows_of_targets(split.targets, torch.arange(1))


def _ahead(make: Callable[[int], tuple[Any, Targets]], steps: range) -> Iterator[tuple[Any, Targets]]:
    """Yields make(step) in order, the next few computed ahead in another thread."""
    pool = ThreadPoolExecutor(max_workers=1)
    waiting: list[Future[tuple[Any, Targets]]] = []
    try:
        for step in steps:
            waiting.append(pool.submit(make, step))
            if len(waiting) > _AHEAD:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
