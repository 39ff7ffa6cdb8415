"""Batches of any loader: a function that is called with the epoch and returns an iterable of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ofa.data.batch_source import BatchSource, joined, one_line
from ofa.data.identity import identity_of
from ofa.data.seeding import seeded
from ofa.data.targets import content_of
from ofa.errors import InvalidInput
from ofa.task.batch import Batch, as_batch

_START = 2**32 - 1  # in place of a step in the seeds of what happens before the first batch
_LOOKED_AT = 4  # batches that say whether this is the same data as before

Make = Callable[[int], Iterable[Any]]


@dataclass(frozen=True, eq=False)
class Iterables(BatchSource):
    """The batches of a function of the epoch, in the sizes in which they come.

    Attributes:
        make: epoch -> an iterable of batches.
        batches: of an epoch; None: what `len` says of the iterable.
        examples: of an epoch; None: as many as the batches of epoch 0 hold, if all are as large as the first.
        origin: what to call it in a message, such as "train of mine".
    """

    make: Make
    batches: int | None = None
    examples: int | None = None
    origin: str = "the loader"

    @property
    def makes_its_own_sizes(self) -> bool:
        """True: the function decides."""
        return True

    @cached_property
    def count(self) -> int:
        """How many examples an epoch has."""
        return self.examples or self.first.examples * self._epoch_length

    @cached_property
    def first(self) -> Batch:
        """The first batch of epoch 0."""
        return next(self._batches(0, 0, 0, 1))

    @cached_property
    def identities(self) -> Tensor:
        """Of the first batches of epoch 0; where they are others the second time, of nothing but their number."""
        once, again = (
            [identity_of(content_of(batch)) for batch in self._batches(0, 0, 0, self._looked_at)] for _ in range(2)
        )
        return torch.tensor([*(once if once == again else []), identity_of(str(self._epoch_length).encode())])

    def steps(self, batch_size: int, *, drop_last: bool) -> int:
        """Returns how many batches an epoch has, in whatever sizes they come."""
        return self._epoch_length

    def epoch(self, batch_size: int, *, seed: int, epoch: int, start: int, drop_last: bool) -> Iterator[Batch]:
        """Yields the batches of an epoch from batch `start` on; those before it are made and left out."""
        return self._batches(seed, epoch, start, self._epoch_length)

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Yields the batches of epoch 0."""
        return self._batches(0, 0, 0, self._epoch_length)

    def some(self, count: int, seed: int) -> Batch:
        """Returns the inputs of the first `count` examples of epoch 0; of the first batch alone if others differ."""
        taken: list[Batch] = []
        for batch in self._batches(0, 0, 0, self._epoch_length):
            taken.append(batch)
            if sum(each.examples for each in taken) >= count:
                break
        inputs = joined(taken)
        whole = Batch(self.first.inputs if inputs is None else inputs)
        return whole.rows(0, min(count, whole.examples))

    @property
    def _looked_at(self) -> int:
        return min(_LOOKED_AT, self._epoch_length)

    @cached_property
    def _epoch_length(self) -> int:
        if self.batches is not None:
            return self.batches
        made = self._made(0, 0)
        try:
            return len(made)  # type: ignore[arg-type]
        except TypeError:
            if self.examples is not None:
                return max(1, self.examples // self.first.examples)
            raise InvalidInput(
                f"{self.origin}: a {type(made).__name__} does not say how many batches it has; give steps or examples"
            ) from None

    def _made(self, seed: int, epoch: int) -> Iterable[Any]:
        with seeded(seed, epoch, _START):
            try:
                made = self.make(epoch)
                iter(made)
            except Exception as error:
                raise InvalidInput(f"{self.origin}: epoch {epoch} cannot be begun: {one_line(error)}") from error
        return made

    def _batches(self, seed: int, epoch: int, start: int, stop: int) -> Iterator[Batch]:
        """Batches `start` to before `stop` of an epoch, each read with the global generators seeded by its number."""
        made = self._made(seed, epoch)
        with seeded(seed, epoch, _START):
            values = iter(made)
        for number in range(stop):
            with seeded(seed, epoch, number):
                try:
                    value = next(values, None)
                except Exception as error:
                    raise InvalidInput(f"{self.origin}: batch {number} of epoch {epoch}: {one_line(error)}") from error
            if value is None:
                raise InvalidInput(
                    f"{self.origin}: epoch {epoch} ended after {number} of {stop} batches; "
                    "give the number it has as steps, or fix the loader"
                )
            if number >= start:
                yield self._batch(value, number)

    def _batch(self, value: Any, number: int) -> Batch:
        try:
            return as_batch(value)
        except InvalidInput as error:
            raise InvalidInput(f"{self.origin}: batch {number}: {error}") from None
