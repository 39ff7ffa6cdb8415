"""Which parameters a regularizer acts on, by patterns of their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor

from ofa.errors import InvalidInput, is_number, nearest

Held = TypeVar("Held", bound=Tensor)


def chosen(weights: Mapping[str, Held], select: Sequence[str], dimensions: int | None = None) -> dict[str, Held]:
    """Returns the parameters whose names match one of the patterns `select`, such as ("conv*.weight",).

    Without patterns: those with at least two dimensions (`dimensions=None`), or those named "...weight" with
    exactly `dimensions`. Either way, only those that require a gradient: a frozen layer is not regularized.

    Raises:
        InvalidInput: a pattern that no name matches.
    """
    if select:
        matching = {name: weights[name] for name in _matching(tuple(weights), tuple(select))}
    elif dimensions is None:
        matching = {name: weight for name, weight in weights.items() if weight.dim() >= 2}
    else:
        matching = {
            name: weight
            for name, weight in weights.items()
            if weight.dim() == dimensions and name.rpartition(".")[2] == "weight"
        }
    return {name: weight for name, weight in matching.items() if weight.requires_grad}


# Needed in every step of a training, with the same names.
@lru_cache(maxsize=64)
def _matching(names: tuple[str, ...], select: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in select:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InvalidInput(f"select {pattern!r} matches no parameter; {nearest(pattern, names)}")
    return tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in select))


@lru_cache(maxsize=1024)
def strength_of(name: str, layers: tuple[tuple[str, float], ...], otherwise: float) -> float:
    """Returns the strength of the first pattern that matches `name`, or `otherwise`."""
    return next((strength for pattern, strength in layers if fnmatchcase(name, pattern)), otherwise)


def with_bias(weights: Mapping[str, Held], names: Mapping[str, Held]) -> Iterator[tuple[str, Held, Held | None]]:
    """Yields each of `names` with its parameter and its bias: "<path>.bias" beside "<path>.weight", if it fits.

    A bias that is among `names` itself comes once, with its weight; a frozen one does not come.
    """
    biases = {name: f"{name.removesuffix('weight')}bias" for name in names if name.rpartition(".")[2] == "weight"}
    fitting = {
        name: bias
        for name, bias in biases.items()
        if bias in weights and weights[bias].requires_grad and weights[bias].shape == names[name].shape[:1]
    }
    for name, weight in names.items():
        if name not in fitting.values():
            yield name, weight, weights[fitting[name]] if name in fitting else None


def check_strengths(kind: str, strengths: Mapping[str, float]) -> None:
    """Checks that every strength is a finite number, 0 or more.

    Raises:
        InvalidInput: naming the first that is not.
    """
    for name, value in strengths.items():
        if not is_number(value) or value < 0:
            raise InvalidInput(f"{kind} {name}={value!r}: a strength must be a number, 0 or more")


def total(terms: Iterable[Tensor]) -> Tensor:
    """Returns the sum of scalars, 0 of none."""
    return sum(terms, start=torch.zeros(()))
