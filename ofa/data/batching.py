"""Batches whose order and augmentation are functions of (seed, epoch, step): training starts at any step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from ofa.data.augmenting import AnyAugment, apply, check_augment
from ofa.data.batch_source import BatchSource
from ofa.data.input_table import InputTable
from ofa.data.seeding import generator_of, order_of
from ofa.data.split import Split
from ofa.data.targets import Targets, rows_of_targets
from ofa.errors import InvalidInput
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
    if batch_size < 1:
        raise InvalidInput(f"batch_size={batch_size}: must be at least 1")
    if min(seed, epoch, start) < 0:
        raise InvalidInput(f"seed={seed}, epoch={epoch}, start={start}: none may be negative")
    if augment is not None:
        check_augment(augment, *_kind(split))

    def augmented(images: Any, targets: Targets, step: int) -> tuple[Any, Targets]:
        return (
            (images, targets) if augment is None else apply(augment, images, targets, generator_of(seed, epoch, step))
        )

    if isinstance(split.pixels, BatchSource):
        loaded = split.pixels.epoch(batch_size, seed=seed, epoch=epoch, start=start, drop_last=drop_last)
        return _from_source(split, loaded, start, device, augmented)
    order = order_of(len(split), seed, epoch)
    steps = range(start, steps_per_epoch(split, batch_size, drop_last=drop_last))

    def make(step: int) -> tuple[Any, Targets]:
        rows = order[step * batch_size : (step + 1) * batch_size]
        images = split.preprocessing.unit(split.stored(rows).to(device))
        images, targets = augmented(images, on_device(rows_of_targets(split.targets, rows), device), step)
        return split.preprocessing.normalize(images), targets

    return map(make, steps) if split.in_memory else _ahead(make, steps)


def _kind(split: Split) -> tuple[Any, Targets]:
    """Inputs before they are normalized and targets of one example, for their types: no image is decoded for it."""
    if isinstance(split.pixels, BatchSource | InputTable):
        return split.first
    dtype = split.pixels.dtype if isinstance(split.pixels, torch.Tensor) else torch.float32
    stored = torch.zeros(1, *split.pixels.shape[1:], dtype=dtype)
    return split.preprocessing.unit(stored), rows_of_targets(split.targets, torch.arange(1))


def _from_source(
    split: Split,
    loaded: Iterator[Batch],
    start: int,
    device: torch.device | str,
    augmented: Callable[[Any, Targets, int], tuple[Any, Targets]],
) -> Iterator[tuple[Any, Targets]]:
    """Yields what a loader gives, on a device, augmented."""
    for step, batch in enumerate(loaded, start):
        moved = batch.to(device)
        inputs, targets = augmented(moved.inputs, moved.targets, step)
        yield split.seen(Batch(inputs, targets))


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
