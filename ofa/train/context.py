"""What a strategy is given at each step, and the type of a strategy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from ofa.supernet import Supernet


@dataclass(frozen=True)
class StepContext:
    """One step of training, apart from its images and labels.

    Attributes:
        step, total_steps: counted from 0 over the whole training.
        rng: draws the step's Archs; a function of (seed, step).
        optimizer: for what must move its state along with the weights (a channel sort).
        label_smoothing: fraction, for losses against labels.
        autocast: makes the context manager that a forward pass runs in.
        backward: accumulates the gradient of a loss into the supernet's parameters.
    """

    step: int
    total_steps: int
    rng: np.random.Generator
    optimizer: torch.optim.Optimizer
    label_smoothing: float
    autocast: Callable[[], AbstractContextManager[object]]
    backward: Callable[[Tensor], None]


# Runs the forward and backward passes of a step and returns the mean loss, detached: a scalar Tensor.
# Gradients of the networks of a step add up; the loop clears them, clips them and moves the weights.
Strategy = Callable[["Supernet", Tensor, Tensor, StepContext], Tensor]
