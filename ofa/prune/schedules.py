"""Schedules: when weights are removed, and how many are gone by then.

A schedule is called with the number of optimizer steps so far and returns the sparsity of the event that is due, or
None. Times are steps (int) or fractions of the training (float, 0 to 1); `resolved` turns fractions into steps.
Sparsity never falls from event to event, and the last event reaches `final` exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

from ofa.errors import InvalidInput, is_number
from ofa.prune.times import Time, check_times, whole


class Schedule(Protocol):
    """When weights are removed. Any object with these two members is a schedule."""

    @property
    def final(self) -> float:
        """The sparsity in the end."""

    def __call__(self, step: int) -> float | None:
        """Returns the sparsity after the event of this step, None where there is no event."""


def progress_at(schedule: Schedule, sparsity: float) -> float:
    """Returns how far a sparsity is on the way to the final one of a schedule, 0 to 1."""
    return min(1.0, sparsity / schedule.final) if schedule.final > 0 else 1.0


@dataclass(frozen=True)
class OneShot:
    """Everything at once, at step `at`."""

    final: float
    at: Time = 0

    def __post_init__(self) -> None:
        _check_final(self)
        check_times(self)

    def __call__(self, step: int) -> float | None:
        """Returns the sparsity after the event of this step, None where there is no event."""
        return self.final if step == whole(self, "at") else None


@dataclass(frozen=True)
class Constant:
    """The final sparsity from the start: one event at step 0, as in training a sparse network from scratch."""

    final: float

    def __post_init__(self) -> None:
        _check_final(self)

    def __call__(self, step: int) -> float | None:
        """Returns the sparsity after the event of this step, None where there is no event."""
        return self.final if step == 0 else None


@dataclass(frozen=True)
class _Curve:
    """From `initial` at step `begin` to `final` at step `end`, an event each `every` steps and one at `end`.

    There is no event at `begin` where `initial` is 0: nothing would be removed.
    """

    final: float
    begin: Time
    end: Time
    every: Time
    initial: float = 0.0
    _POWER: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _check_final(self)
        check_times(self)
        if not 0 <= self.initial <= self.final:
            raise InvalidInput(f"initial={self.initial!r} must be between 0 and final={self.final!r}")

    def __call__(self, step: int) -> float | None:
        """Returns the sparsity after the event of this step, None where there is no event."""
        begin, end = whole(self, "begin"), whole(self, "end")
        if step == end:
            return self.final
        if not begin <= step < end or (step - begin) % whole(self, "every") or (step == begin and not self.initial):
            return None
        progress = (step - begin) / (end - begin)
        return self.initial + (self.final - self.initial) * self._shape(progress)

    def _shape(self, progress: float) -> float:
        return 1 - (1 - progress) ** self._POWER


@dataclass(frozen=True)
class Linear(_Curve):
    """The same number of weights at each event: sparsity rises linearly from `initial` at `begin` to `final` at `end`.

    An event each `every` steps, and one at `end`; none at `begin` where `initial` is 0.
    """


@dataclass(frozen=True)
class Cubic(_Curve):
    """Fast at first, slower as fewer remain: final + (initial - final) * (1 - done)^3, done from `begin` to `end`.

    An event each `every` steps, and one at `end`; none at `begin` where `initial` is 0.
    Source: Zhu and Gupta 2017, 1710.01878, equation 1.
    """

    _POWER: ClassVar[int] = 3


@dataclass(frozen=True)
class Cosine(_Curve):
    """Slow at both ends: sparsity follows half a period of a cosine from `initial` at `begin` to `final` at `end`.

    An event each `every` steps, and one at `end`; none at `begin` where `initial` is 0.
    """

    def _shape(self, progress: float) -> float:
        return (1 - math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class Geometric:
    """Rounds of retraining: each of `rounds` events keeps the same share, (1 - final)^(1 / rounds), of what is left.

    The first event is at `begin`, the others `every` steps apart. With `every` as a fraction, a training too short
    for that many rounds has fewer.
    Source: Han et al. 2015, 1506.02626, section 3.3 (iterative pruning).
    """

    final: float
    begin: Time
    every: Time
    rounds: int

    def __post_init__(self) -> None:
        _check_final(self)
        check_times(self)
        _check_count(self, "rounds")

    def __call__(self, step: int) -> float | None:
        """Returns the sparsity after the event of this step, None where there is no event."""
        past, every = step - whole(self, "begin"), whole(self, "every")
        if past < 0 or past % every or past // every >= self.rounds:
            return None
        return _after(past // every + 1, self.rounds, self.final)


@dataclass(frozen=True)
class EveryEpoch:
    """An event at the end of each of `epochs` epochs, from `begin_epoch` on; each keeps the same share of the rest.

    `epochs` is a count, or a fraction of the epochs after `begin_epoch`. `steps_per_epoch` may be left out where
    `resolved` gets it. There, a training too short for that many events has fewer, as many as leave one epoch of
    training after the last, but one at least.
    """

    final: float
    steps_per_epoch: Time | None = None
    epochs: int | float = 1
    begin_epoch: int = 0

    def __post_init__(self) -> None:
        _check_final(self)
        check_times(self)
        if not isinstance(self.epochs, float):
            _check_count(self, "epochs")
        elif not 0 < self.epochs <= 1:
            raise InvalidInput(f"EveryEpoch: epochs={self.epochs!r} is a fraction of the epochs: above 0 and at most 1")
        _check_count(self, "begin_epoch", least=0)

    def __call__(self, step: int) -> float | None:
        """Returns the sparsity after the event of this step, None where there is no event."""
        epochs = whole(self, "epochs")
        epoch, within = divmod(step, whole(self, "steps_per_epoch"))
        if within or not 0 < epoch - self.begin_epoch <= epochs:
            return None
        return _after(epoch - self.begin_epoch, epochs, self.final)


@dataclass(frozen=True)
class Doubling:
    """Intervals that double: events `first` * (0, 1, 3, 7, 15, ...) steps after `begin`, the last not after `end`.

    Each keeps the same share of what is left, so removal is fast at first and the longest pause comes last.
    """

    final: float
    begin: Time
    end: Time
    first: Time = 1

    def __post_init__(self) -> None:
        _check_final(self)
        check_times(self)

    def __call__(self, step: int) -> float | None:
        """Returns the sparsity after the event of this step, None where there is no event."""
        begin, end, first = whole(self, "begin"), whole(self, "end"), whole(self, "first")
        intervals, rest = divmod(step - begin, first)
        if rest or not begin <= step <= end or (intervals + 1).bit_count() != 1:
            return None
        events = ((end - begin) // first + 1).bit_length()
        return _after((intervals + 1).bit_length(), events, self.final)


def events(schedule: Schedule, total_steps: int) -> list[tuple[int, float]]:
    """Returns (step, sparsity) of each event of a training of `total_steps`, which ends after that step."""
    sparsities = ((step, schedule(step)) for step in range(total_steps + 1))
    return [(step, sparsity) for step, sparsity in sparsities if sparsity is not None]


def _after(rounds_done: int, rounds: int, final: float) -> float:
    """The sparsity after some of all rounds, each of which keeps the same share of what is left."""
    return final if rounds_done == rounds else 1 - (1 - final) ** (rounds_done / rounds)


def _check_final(schedule: Schedule) -> None:
    final = schedule.final
    if not is_number(final) or not 0 <= final < 1:
        raise InvalidInput(
            f"{type(schedule).__name__}: final={schedule.final!r} is the fraction removed in the end; "
            f"it must be 0 or more and below 1"
        )


def _check_count(schedule: Schedule, name: str, least: int = 1) -> None:
    value = getattr(schedule, name)
    if not isinstance(value, int) or value < least:
        raise InvalidInput(f"{type(schedule).__name__}: {name}={value!r} must be an int of {least} or more")
