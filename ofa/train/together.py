"""A step that several processes take together: each learns its rows of a batch, and all move the same weights.

Gradients are added up over all (see `ofa.train.shared_gradients`), so weights, norm statistics and losses are the same
bits in all processes after it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.processes import Processes
from ofa.task import Batch, Task, as_batch
from ofa.train.settings import TrainSettings
from ofa.train.step import micro_batches

if TYPE_CHECKING:
    from ofa.train.state import TrainState


@dataclass(frozen=True)
class Parts:
    """What this process learns in a step: micro-batches, and the share that each has in the loss of the step."""

    batch: Batch
    parts: Sequence[Batch]
    shares: Sequence[float]


@dataclass
class Feed:
    """The batches of a training, as all processes agree on them.

    Attributes:
        stopped: a process wants the training to end here.
    """

    group: Processes
    settings: TrainSettings
    task: Task
    stopped: bool = False

    def of(self, values: Iterator[Any], state: TrainState) -> Iterator[Parts]:
        """Yields the parts of each batch; ends where the batches do, and where a process wants the training to end.

        Raises:
            InvalidInput: batches that cannot be made in another process, or fewer there than here.
        """
        if self.group.alone:
            for value in values:
                yield _parts(as_batch(value), self.settings.accumulation, self.task)
            return
        count = self.group.count
        while True:
            made, error = self._next(values)
            weights = [] if made is None else _terms(made[1], self.task)
            ended = made is None and error is None
            total, failed, stopping, through = self.group.sums([sum(weights), error is not None, state.stopping, ended])
            if failed:
                self.group.each(lambda: _raise(error))  # noqa: B023
            if 0 < through < count:
                raise InvalidInput(
                    f"the training data of {through:g} of {count} processes ended before the others': give each of "
                    "them the same data"
                )
            if stopping:
                self.stopped = state.stopping = True
            if through or stopping:
                return
            assert made is not None
            shares = [weight / total for weight in weights] if total else [1 / (count * len(weights))] * len(weights)
            yield Parts(made[0], made[1], shares)

    def _next(self, values: Iterator[Any]) -> tuple[tuple[Batch, list[Batch]] | None, Exception | None]:
        """The next batch with its parts, or the error that it ends with."""
        wanted = self.settings.accumulation
        try:
            value = next(values, None)
            if value is None:
                return None, None
            batch = as_batch(value)
            if batch.examples < wanted:
                raise InvalidInput(
                    f"a batch has {batch.examples} examples for process {self.group.rank} of {self.group.count}, and "
                    f"accumulation={wanted}: give a larger batch_size, or fewer processes"
                )
            return (batch, micro_batches(batch, wanted)), None
        except Exception as error:
            return None, error


def check_shared(settings: TrainSettings, group: Processes) -> None:
    """Checks that a batch has examples for every process.

    Raises:
        InvalidInput: it has not.
    """
    least = settings.accumulation * group.count
    if not group.alone and settings.batch_size < least:
        parts = f" in {settings.accumulation} parts each (accumulation)" if settings.accumulation > 1 else ""
        raise InvalidInput(
            f"batch_size={settings.batch_size!r} is shared by {group.count} processes{parts}: give at least {least}"
        )


def check_alike(record: Mapping[str, Any], group: Processes) -> None:
    """Checks that all processes train the same: model, data and settings, as a training records them.

    Raises:
        InvalidInput: they do not, with the first field that differs.
    """
    texts = {name: json.dumps(value, sort_keys=True) for name, value in record.items()}
    for rank, others in enumerate(group.gathered(texts)):
        for name in sorted(texts.keys() | others.keys()):
            if texts.get(name) != others.get(name):
                raise InvalidInput(
                    f"process {group.rank} of {group.count} trains with another {name} than process {rank}: "
                    f"{texts.get(name, 'none'):.60} here, {others.get(name, 'none'):.60} there; start all alike"
                )


def _parts(batch: Batch, count: int, task: Task) -> Parts:
    """The parts of a batch that one process learns alone."""
    if not batch.examples:
        raise InvalidInput("a batch of the training data has 0 examples: leave empty ones out")
    parts = micro_batches(batch, count)
    if task.terms is None or len(parts) == 1:
        shares = [part.examples / batch.examples for part in parts]
    else:
        terms = _terms(parts, task)
        shares = [each / sum(terms) for each in terms] if sum(terms) else [1.0, *[0.0] * (len(parts) - 1)]
    numbers = [number for number, share in enumerate(shares) if share]  # others are padding alone
    return Parts(batch, [parts[number] for number in numbers], [shares[number] for number in numbers])


def _terms(parts: Sequence[Batch], task: Task) -> list[float]:
    """How many terms the loss of each part is the mean of."""
    return [float(part.examples if task.terms is None else task.terms(part)) for part in parts]


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error


def mean_over(group: Processes, share: float) -> Callable[[Tensor], Tensor]:
    """Returns a function of a process's value that gives the mean over all, each counted by its share of the step."""

    def mean(value: Tensor) -> Tensor:
        if group.alone:
            return value
        shared = torch.cat([value.detach().reshape(-1) * share, value.new_tensor([share])])
        group.sum_(shared)
        return (shared[:-1] / shared[-1]).reshape(value.shape)

    return mean
