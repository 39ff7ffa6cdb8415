"""The batches of a plain network's training: quick for splits that fit in memory, with a teacher's logits beside.

A batch has the teacher's logits (N, classes) where there is a teacher.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ofa.data import Augment, BatchSource, batches, steps_per_epoch
from ofa.data.dataset import Split
from ofa.data.targets import rows_of_targets
from ofa.inputs import call, logits_of
from ofa.modes import in_mode
from ofa.task import Batch

if TYPE_CHECKING:
    from ofa.prune.context import Batches

_HELD_BYTES = 2 * 2**30  # of normalized images that stay in memory; larger splits are normalized batch by batch
_CHUNK = 1024  # images that a teacher sees at a time


@dataclass(frozen=True, eq=False)
class TeacherBatches:
    """What a training reads: batches whose order and augmentation are functions of (seed, epoch, step).

    Attributes:
        split: the training split, on the device of the training if it is in memory.
        augment: None where images are used as they are; only then logits and images are computed once.
        teacher: a network whose logits are to come with each batch, run in eval mode.
    """

    split: Split
    batch_size: int
    seed: int
    device: torch.device
    augment: Augment | None = None
    teacher: nn.Module | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches per epoch; an incomplete one at the end is left out, unless it is the only one."""
        return steps_per_epoch(self.split, self.batch_size)

    @property
    def holds_images(self) -> bool:
        """Whether all images are normalized once, instead of batch by batch."""
        size = 4 * int(np.prod(self.split.pixels.shape))
        return self.augment is None and self.split.in_memory and size <= min(_HELD_BYTES, self.split.memory_limit)

    @cached_property
    def teacher_logits(self) -> Tensor:
        """The teacher's logits of every training image, (N, classes)."""
        assert self.teacher is not None
        with in_mode(self.teacher, training=False), torch.no_grad():
            chunks = (images.to(self.device) for images, _ in self.split.in_order(_CHUNK))
            answers = [logits_of(call(self.teacher, images), self.teacher) for images in chunks]
        return torch.cat(answers)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Returns an iterator of the batches of an epoch, from batch `start` on."""
        return self._from_memory(epoch, start) if self.holds_images else self._batch_by_batch(epoch, start)

    def _from_memory(self, epoch: int, start: int) -> Iterator[Batch]:
        images, targets = self.split.images, self.split.targets
        logits = None if self.teacher is None else self.teacher_logits
        order = torch.from_numpy(np.random.default_rng([self.seed, epoch, 2]).permutation(len(self.split)))
        order = order.to(images.device)
        for step in range(start, self.steps_per_epoch):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            chosen = None if logits is None else logits.index_select(0, rows)
            yield Batch(images.index_select(0, rows), rows_of_targets(targets, rows), chosen)

    def _batch_by_batch(self, epoch: int, start: int) -> Iterator[Batch]:
        labeled = batches(
            self.split,
            self.batch_size,
            seed=self.seed,
            epoch=epoch,
            start=start,
            device=self.device,
            augment=self.augment,
        )
        for images, labels in labeled:
            logits = None
            if self.teacher is not None:
                with in_mode(self.teacher, training=False), torch.no_grad():
                    logits = logits_of(call(self.teacher, images), self.teacher)
            yield Batch(images, labels, logits)


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
