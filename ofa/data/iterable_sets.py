"""A Dataset of functions that return iterables of batches: a loader of your own, whatever is inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ofa.data.dataset import PARTS, Dataset, ordered
from ofa.data.iterables import Iterables
from ofa.data.map_style_sets import AS_GIVEN
from ofa.data.split import Split
from ofa.data.targets import outputs_for
from ofa.errors import InvalidInput, is_whole, nearest


def from_iterables(
    *,
    train: Callable[[int], Iterable[Any]],
    validation: Callable[[int], Iterable[Any]],
    test: Callable[[int], Iterable[Any]] | None = None,
    steps: int | Mapping[str, int] | None = None,
    examples: int | Mapping[str, int] | None = None,
    name: str = "iterables",
    num_classes: int | None = None,
    class_names: Sequence[str] = (),
    target_names: Sequence[str] = (),
    outputs: int | None = None,
) -> Dataset:
    """Returns the Dataset of loaders: functions that are called with the epoch, from 0, and return batches.

    Batches are used in the sizes in which they come: `batch_size` is the loader's own. What `torch`, `numpy.random` and
    `random` draw is a function of (seed, epoch, batch), so a training that was stopped goes on with the same bits, as
    far as the loader draws from them; what comes before is read again and left out.

    Args:
        train, validation, test: epoch -> an iterable of batches (see `ofa.task.as_batch`); validation and test are
            asked for epoch 0 alone. A test of None is the validation.
        steps: batches of an epoch: one number of the training split, or one by split; what is longer is cut there.
            None: what `len` says of the iterable.
        examples: in an epoch, likewise; None: batches times the first one's size.
        name: of the data set, in cards and reports.
        num_classes, class_names, target_names, outputs: see `Dataset`.

    Raises:
        InvalidInput: something that is no function, a loader that fails or ends early, or batches of no known form.
    """
    given = {"train": train, "validation": validation, "test": validation if test is None else test}
    for part, make in given.items():
        if not callable(make):
            raise InvalidInput(
                f"{part} is of type {type(make).__name__}; give a function of the epoch that returns an iterable of "
                "batches: an iterable alone would be used up after one epoch"
            )
    lengths, counts = by_part("steps", steps), by_part("examples", examples)
    if test is None:
        lengths, counts = (
            {**each, "test": each["validation"]} if "validation" in each else each for each in (lengths, counts)
        )
    splits = {}
    for part, make in given.items():
        source = Iterables(make, lengths.get(part), counts.get(part), f"{part} of {name}")
        splits[part] = Split(source, None, AS_GIVEN, origin=_name(make))
    return Dataset(
        name,
        *ordered(splits),
        num_classes=num_classes or len(class_names) or None,
        class_names=tuple(class_names),
        target_names=tuple(target_names),
        outputs=outputs or outputs_for(splits["train"].first[1]),
    )


def by_part(option: str, given: int | Mapping[str, int] | None) -> dict[str, int]:
    """Returns numbers by split; one alone is of the training split.

    Raises:
        InvalidInput: another split, or what is no whole number above 0.
    """
    numbers = {} if given is None else dict(given) if isinstance(given, Mapping) else {"train": given}
    for part, number in numbers.items():
        if part not in PARTS:
            raise InvalidInput(f"{option} has {part!r}, which is no split; {nearest(str(part), PARTS)}")
        if not is_whole(number, 1):
            raise InvalidInput(f"{option} of {part}={number!r}: must be a whole number, at least 1")
    return numbers


def _name(make: Any) -> str:
    """What a function is called where it was defined; configurations make partials of theirs."""
    function = make.func if isinstance(make, partial) else make
    return getattr(function, "__qualname__", type(function).__name__)
