"""Times of schedules and regrowth: steps, or fractions of a training that become steps once its length is known."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias, TypeVar

from ofa.errors import InvalidInput, is_whole

# Steps as an int, or a fraction of the training (0 to 1) as a float.
Time: TypeAlias = int | float
Timed = TypeVar("Timed")

_POINTS = ("at", "begin", "end", "until")
_INTERVALS = ("every", "first", "steps_per_epoch", "horizon")


def resolved(timed: Timed, total_steps: int, steps_per_epoch: int | None = None) -> Timed:
    """Returns a schedule, a regrowth or a regularizer with fractions of `total_steps` as steps; ints stay as they are.

    An interval is at least one step. `steps_per_epoch` fills in the field of that name where it is None. What is
    not a dataclass is returned as it is.

    Raises:
        InvalidInput: a time lies after the end of the training, so that the final sparsity would not be reached.
    """
    if not dataclasses.is_dataclass(timed) or isinstance(timed, type):
        return timed
    if total_steps < 1:
        raise InvalidInput(f"total_steps={total_steps!r} must be 1 or more")
    changes: dict[str, Any] = {}
    for name in _times_of(timed):
        value = getattr(timed, name)
        if name == "steps_per_epoch" and value is None and steps_per_epoch is not None:
            changes[name] = steps_per_epoch
        elif isinstance(value, float):
            changes[name] = max(round(value * total_steps), int(name in _INTERVALS))
    if dataclasses.is_dataclass(inner := getattr(timed, "schedule", None)):
        changes["schedule"] = resolved(inner, total_steps, steps_per_epoch)
    if isinstance(getattr(timed, "every", None), float) and hasattr(timed, "rounds"):
        begin = changes.get("begin", getattr(timed, "begin", 0))
        changes["rounds"] = max(1, min(timed.rounds, (total_steps - begin) // changes["every"] + 1))
    per_epoch = changes.get("steps_per_epoch", getattr(timed, "steps_per_epoch", None))
    if isinstance(per_epoch, int) and hasattr(timed, "epochs") and hasattr(timed, "begin_epoch"):
        left = total_steps // per_epoch - timed.begin_epoch
        wanted = round(timed.epochs * left) if isinstance(timed.epochs, float) else timed.epochs
        changes["epochs"] = max(1, min(wanted, left - 1))
    result = dataclasses.replace(timed, **changes)
    last = _last_step(result)
    if last is not None and last > total_steps:
        raise InvalidInput(
            f"{type(timed).__name__} has its last event at step {last}, after the last of {total_steps} steps: "
            f"give times as fractions of the training, such as 0.5, or train longer"
        )
    return result


def check_times(timed: object) -> None:
    """Checks the times of a dataclass against each other, as its `__post_init__` calls it.

    Raises:
        InvalidInput: a time is neither an int of steps nor a fraction between 0 and 1, or `end` comes before `begin`.
    """
    for name in _times_of(timed):
        value, least = getattr(timed, name), int(name in _INTERVALS)
        if name == "steps_per_epoch" and value is None:
            continue
        is_steps = is_whole(value, least)
        is_fraction = isinstance(value, float) and 0 <= value <= 1 and (value > 0 or not least)
        if not (is_steps or is_fraction):
            rule = "an int, or a fraction of the training as a float between 0 and 1"
            raise InvalidInput(f"{type(timed).__name__}: {name}={value!r} must be steps, {least} or more, as {rule}")
    begin, end = getattr(timed, "begin", 0), getattr(timed, "end", None)
    if end is not None and type(begin) is type(end) and end < begin:
        raise InvalidInput(f"{type(timed).__name__}: end={end!r} comes before begin={begin!r}")


def whole(timed: object, name: str) -> int:
    """Returns a time in steps.

    Raises:
        InvalidInput: it is still a fraction, or not given.
    """
    value = getattr(timed, name)
    if not isinstance(value, int):
        raise InvalidInput(
            f"{type(timed).__name__}: {name}={value!r} is not in steps yet; "
            f"call resolved(..., total_steps) first, which knows how long the training is"
        )
    return value


def _times_of(timed: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(timed) if field.name in _POINTS + _INTERVALS]


def _last_step(timed: Any) -> int | None:
    """The step of the last event of a schedule, by the names of its times; None where they do not say."""
    if hasattr(timed, "rounds") and hasattr(timed, "every"):
        return int(timed.begin + (timed.rounds - 1) * timed.every)
    if hasattr(timed, "epochs") and isinstance(getattr(timed, "steps_per_epoch", None), int):
        return int((timed.begin_epoch + timed.epochs) * timed.steps_per_epoch)
    return getattr(timed, "end", getattr(timed, "at", None))
