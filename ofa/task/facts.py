"""Facts of a data set that tasks are made from: its classes, their names and the targets of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.task.batch import as_batch


def class_count(data: Any, given: int | None) -> int | None:
    """Returns the number of classes that is given, or that of a data set; None: neither says one."""
    return given if given is not None else getattr(data, "num_classes", None)


def class_names(data: Any, count: int, *, field: str = "class_names") -> tuple[str, ...]:
    """Returns a name for each of `count` classes: the data set's, or their numbers."""
    names = tuple(str(name) for name in getattr(data, field, None) or ())
    return names if len(names) == count else tuple(str(number) for number in range(count))


def column_count(data: Any, given: int | None) -> int | None:
    """Returns the number of columns of targets (N, columns): what is given, or what a data set says of itself."""
    targets = getattr(getattr(data, "train", None), "targets", None)
    if given is None and isinstance(targets, Tensor) and targets.dim() == 2:
        return targets.shape[1]
    return class_count(data, given) or getattr(data, "outputs", None)


def training_targets(data: Any, needed_for: str) -> Tensor:
    """Returns the targets of all training examples as one tensor.

    Raises:
        InvalidInput: there is no data set, or its targets are not tensors of one shape; `needed_for` is named.
    """
    train: Any = getattr(data, "train", None)
    if isinstance(targets := getattr(train, "targets", None), Tensor):
        return targets
    parts = [as_batch(value).targets for value in train.in_order()] if hasattr(train, "in_order") else []
    if not parts or not all(isinstance(part, Tensor) for part in parts):
        raise InvalidInput(f"{needed_for} needs the targets of a data set's training split; give the numbers instead")
    return torch.cat(parts)


def checked_weights(name: str, given: Sequence[float], count: int | None, kind: str) -> tuple[float, ...]:
    """Returns weights that a user gave, one for each of `count` classes or labels, as a tuple.

    Raises:
        InvalidInput: another number of them, or one that is below 0 or not a number.
    """
    if isinstance(given, str):
        raise InvalidInput(f"{name}={given!r}; give 'balanced', or a number for each of the {kind}")
    weights = tuple(float(weight) for weight in given)
    if count is not None and len(weights) != count:
        raise InvalidInput(f"{name} has {len(weights)} numbers for {count} {kind}; give one for each")
    if bad := [weight for weight in weights if not 0 <= weight < float("inf")]:
        raise InvalidInput(f"{name} has {bad[0]}; every weight is a number of at least 0")
    return weights
