"""The two kinds of regularizer, and how several are applied together.

A regularizer with `proximal_` is applied after the optimizer's step and is not part of the loss, although it may
also have `penalty`; `AsLoss` turns it into a term of the loss. One without is a term of the loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

# How far a proximal step goes: the learning rate of the optimizer's step, for all parameters or by name; a name that is
# missing has 0, so that parameter is not trained.
StepSize: TypeAlias = float | Mapping[str, float]


def step_size_of(name: str, step_size: StepSize) -> float:
    """Returns the step size of a parameter."""
    return step_size.get(name, 0.0) if isinstance(step_size, Mapping) else step_size


@runtime_checkable
class Penalty(Protocol):
    """A regularizer that can be added to the loss."""

    def penalty(self, weights: Mapping[str, Tensor], progress: float) -> Tensor:
        """Returns a scalar, with gradient, of the parameters by name; `progress` runs from 0 to 1."""


@runtime_checkable
class Proximal(Protocol):
    """A regularizer that moves the weights itself, after the optimizer's step."""

    def proximal_(self, weights: Mapping[str, Tensor], step_size: StepSize, progress: float) -> None:
        """Replaces the weights w, in place, by argmin_v |v - w|^2 / (2 step_size) + r(v); see `StepSize`.

        Weights that do not require a gradient stay. `progress` runs from 0 to 1.
        """


Regularizer: TypeAlias = Penalty | Proximal


@dataclass(frozen=True)
class AsLoss:
    """The penalty of a regularizer that has a proximal step too: (sub)gradients, and no exact zeros."""

    of: Penalty

    def penalty(self, weights: Mapping[str, Tensor], progress: float) -> Tensor:
        """Returns the scalar penalty of `of`."""
        return self.of.penalty(weights, progress)


def total_penalty(regularizers: Sequence[Regularizer], weights: Mapping[str, Tensor], progress: float) -> Tensor:
    """Returns the sum, a scalar, of the regularizers that are terms of the loss; 0 where there are none."""
    total = next(iter(weights.values())).new_zeros(()) if weights else torch.zeros(())
    for regularizer in regularizers:
        if not isinstance(regularizer, Proximal):
            total = total + regularizer.penalty(weights, progress)
    return total


def proximal_steps_(
    regularizers: Sequence[Regularizer], weights: Mapping[str, Tensor], step_size: StepSize, progress: float
) -> None:
    """Applies, in order and in place, the regularizers that are proximal steps."""
    for regularizer in regularizers:
        if isinstance(regularizer, Proximal):
            regularizer.proximal_(weights, step_size, progress)
