"""Batches whose order and augmentation are functions of (seed, epoch, step): training starts at any step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ofa.data.split import Split
from ofa.data.targets import Targets, rows_of_targets
from ofa.errors import InvalidInput
from ofa.task.batch import on_device

# Images (N, C, H, W) in [0, 1] and a CPU generator -> images of the same shape.
Augment: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]
_AHEAD = 3  # batches that are being decoded while one is in use


def steps_per_epoch(split: Split, batch_size: int, *, drop_last: bool = True) -> int:
    """Returns how many batches `batches` yields in an epoch."""
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
    augment: Augment | None = None,
    drop_last: bool = True,
) -> Iterator[tuple[Any, Targets]]:
    """Returns an iterator of an epoch's (inputs, targets) from batch `start`: images (N, C, H, W) float32, labels (N,).

    The order is a function of (seed, epoch) and the augmentation of a batch of (seed, epoch, step): batches
    from `start` on are the same bits as those of a whole epoch, and nothing before them is decoded. With
    `drop_last` an incomplete batch at the end is left out, unless it is the only one. Large splits are
    decoded ahead.

    Raises:
        InvalidInput: a batch size below 1, a negative seed, epoch or start, or an augmentation of token ids.
    """
    if batch_size < 1:
        raise InvalidInput(f"batch_size={batch_size}: must be at least 1")
    if min(seed, epoch, start) < 0:
        raise InvalidInput(f"seed={seed}, epoch={epoch}, start={start}: none may be negative")
    if augment is not None and split.preprocessing.as_they_are:
        raise InvalidInput("an augmentation is for images, and these are token ids: give augment=null")
    order = torch.randperm(len(split), generator=_generator(seed, epoch))
    steps = range(start, steps_per_epoch(split, batch_size, drop_last=drop_last))

    def make(step: int) -> tuple[Any, Targets]:
        rows = order[step * batch_size : (step + 1) * batch_size]
        images = split.preprocessing.unit(split.stored(rows).to(device))
        if augment is not None:
            images = augment(images, _generator(seed, epoch, step))
        return split.preprocessing.normalize(images), on_device(rows_of_targets(split.targets, rows), device)

    return map(make, steps) if split.in_memory else _ahead(make, steps)


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


def _generator(*numbers: int) -> torch.Generator:
    """Returns a CPU generator whose state is a mix of the numbers, so that near seeds are unrelated."""
    mixed = np.random.SeedSequence(list(numbers)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed))
