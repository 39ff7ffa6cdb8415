"""Examples that each network of a step has for itself: the gradients of what they share have less noise in their sum.

Networks that learn from the same examples have the same noise, which their sum keeps. A step of several batches gives
each network one of its own. A network's cost, and what it sees in an epoch, stay as they were; the training data are
read as many times as often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from torch import Tensor

from ofa.data import BatchSource, Split, steps_per_epoch
from ofa.errors import InvalidInput
from ofa.task import Batch
from ofa.train.settings import TrainSettings
from ofa.train.step import StepContext, micro_batches


def batches_per_step(split: Split, settings: TrainSettings) -> int:
    """Returns how many batches of `settings.batch_size` a step reads: 1 where a source decides how large they are."""
    source = split.pixels
    return 1 if isinstance(source, BatchSource) and source.makes_its_own_sizes else settings.batches_per_step


def drops_last(split: Split, settings: TrainSettings) -> bool:
    """Returns whether the end of a pass is dropped: less than half a step, or than a tenth of the split."""
    count = batches_per_step(split, settings)
    if count == 1:
        return True
    rows = count * settings.batch_size
    examples = split.pixels.count if isinstance(split.pixels, BatchSource) else len(split)
    rest = examples % rows
    return 2 * rest < rows or 10 * rest < examples


def epoch_steps(split: Split, settings: TrainSettings) -> int:
    """Returns the steps of an epoch, in which each network of a step sees about as many examples as the split has."""
    count = batches_per_step(split, settings)
    return count * steps_per_epoch(split, count * settings.batch_size, drop_last=drops_last(split, settings))


def passes(
    batches_of: Callable[[int, int], Iterator[Any]], split: Split, settings: TrainSettings, epoch: int, start: int
) -> Iterator[Any]:
    """Returns the batches of an epoch from step `start` on: of as many passes over the split as a step has batches.

    Args:
        batches_of: (pass, first step) -> the batches of a pass, of all examples that a step reads.
    """
    count = batches_per_step(split, settings)
    done, first = divmod(start, epoch_steps(split, settings) // count)
    numbers = range(epoch * count + done, (epoch + 1) * count)
    return chain.from_iterable(batches_of(number, first if index == 0 else 0) for index, number in enumerate(numbers))


def parts_of(batch: Batch, networks: int, context: StepContext) -> list[Batch]:
    """Returns what each network of a step learns from: a part of the batch, or all of it where a step reads one batch.

    Where there are fewer examples than networks, some learn from the same.
    """
    if context.batches == 1:
        return [batch] * networks
    parts = micro_batches(batch, networks)
    return [parts[index % len(parts)] for index in range(networks)]


def check_own_lessons(label_weight: float | Tensor, features: float, context: StepContext) -> None:
    """Checks that networks with examples of their own learn nothing from the largest, which has not seen these.

    Raises:
        InvalidInput: a part of their loss is against its outputs or its hidden states.
    """
    if context.batches == 1 or (not isinstance(label_weight, Tensor) and label_weight == 1 and not features):
        return
    part = "features" if features else "a label_weight below 1"
    raise InvalidInput(
        f"{part} is a lesson of the largest, which has not seen the other networks' examples where batches_per_step="
        f"{context.batches}: give batches_per_step=1, or {'features=0' if features else 'label_weight=1, or a teacher'}"
    )
