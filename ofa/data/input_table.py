"""Rows of inputs of several tensors, held in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ofa.inputs import Inputs


@dataclass(frozen=True, eq=False)
class InputTable:
    """Inputs of N examples, taken row by row in place of a tensor of images."""

    inputs: Inputs

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the first tensor with a row for each example, (N, ...)."""
        return next(tuple(t.shape) for t in self.inputs.tensors().values() if self.inputs.is_batched(t))

    def take(self, rows: Tensor) -> Inputs:
        """Returns the inputs of these rows; tensors of all examples stay whole."""
        inputs = self.inputs
        return inputs.map(lambda tensor: tensor[rows.to(tensor.device)] if inputs.is_batched(tensor) else tensor)

    def to(self, device: torch.device | str) -> InputTable:
        """Returns the table with its tensors on a device."""
        return InputTable(self.inputs.to(device))
