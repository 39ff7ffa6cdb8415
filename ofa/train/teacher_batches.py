"""The batches of a plain network's training: quick for splits that fit in memory, with a teacher's outputs beside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ofa.data import BatchSource, batches, shared_batches, steps_per_epoch
from ofa.data.augmenting import AnyAugment
from ofa.data.split import Split
from ofa.data.targets import rows_of_targets
from ofa.processes import ALONE, Processes
from ofa.task import Batch, Task, as_batch
from ofa.train.teachers import Teacher, Teaching

if TYPE_CHECKING:
    from ofa.prune.context import Batches

_HELD_BYTES = 2 * 2**30  # of normalized images that stay in memory; larger splits are normalized batch by batch


@dataclass(frozen=True, eq=False)
class TeacherBatches:
    """What a training reads: batches whose order and augmentation are functions of (seed, epoch, step).

    Attributes:
        split: the training split, on the device of the training if it is in memory.
        task: says how the teacher is called.
        augment: None where images are used as they are; only then outputs and images are computed once.
        teacher: a network whose outputs are to come with each batch, run in eval mode.
        group: the processes that share each batch, see `ofa.data.shared_batches`.
    """

    split: Split
    batch_size: int
    seed: int
    device: torch.device
    task: Task
    augment: AnyAugment | None = None
    teacher: Teacher | None = None
    group: Processes = ALONE

    @property
    def steps_per_epoch(self) -> int:
        """Batches per epoch; an incomplete one at the end is left out, unless it is the only one."""
        return steps_per_epoch(self.split, self.batch_size)

    @property
    def holds_images(self) -> bool:
        """Whether all images are normalized once, instead of batch by batch."""
        if self.augment is not None or not self.split.in_memory:
            return False
        return 4 * int(np.prod(self.split.pixels.shape)) <= min(_HELD_BYTES, self.split.memory_limit)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Returns an iterator of the batches of an epoch, from batch `start` on."""
        return self._from_memory(epoch, start) if self.holds_images else self._batch_by_batch(epoch, start)

    @cached_property
    def _teaching(self) -> Teaching | None:
        if self.teacher is None:
            return None
        augmented = self.augment is not None
        sizes = self.batch_size, self.seed
        return Teaching(self.teacher, self.task, self.split, *sizes, self.device, augmented, self.group)

    def _from_memory(self, epoch: int, start: int) -> Iterator[Batch]:
        images, teaching = self.split.images, self._teaching
        order = torch.from_numpy(np.random.default_rng([self.seed, epoch, 2]).permutation(len(self.split)))
        order = order.to(images.device)
        for step in range(start, self.steps_per_epoch):
            rows = self.group.rows(order[step * self.batch_size : (step + 1) * self.batch_size])
            batch = Batch(images.index_select(0, rows), rows_of_targets(self.split.targets, rows))
            if teaching is None:
                yield batch
            else:
                taught = teaching.outputs(batch) if teaching.stored is None else teaching.stored_of(rows)
                yield batch._replace(teacher=taught)

    def _batch_by_batch(self, epoch: int, start: int) -> Iterator[Batch]:
        made = shared_batches(
            self.split,
            self.batch_size,
            self.group,
            seed=self.seed,
            epoch=epoch,
            start=start,
            device=self.device,
            augment=self.augment,
        )
        return map(as_batch, made) if self._teaching is None else self._teaching.taught(made, epoch, start)


def on_device(split: Split, device: torch.device) -> Split:
    """Returns the split on `device`; the very same where it is there already, with all that it has computed."""
    return split if split.device == device else split.to(device)


def scoring_batches(split: Split, batch_size: int, count: int, seed: int) -> Batches:
    """Returns a function that makes the labeled batches that criteria measure on.

    They are the same `count` batches of training images at every call, not augmented: a function of `seed`.
    """
    if isinstance(split.pixels, BatchSource):
        return lambda: islice(batches(split, batch_size, seed=seed, epoch=0), count)
    rows = torch.from_numpy(np.random.default_rng([seed, 3]).permutation(len(split)))[: batch_size * count]

    def make() -> Iterator[tuple[Any, Any]]:
        return (split.take(chosen) for chosen in torch.split(rows, batch_size))

    return make
