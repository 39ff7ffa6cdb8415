"""Some rows of a split whose inputs are read when asked for, again each time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from ofa.data.split import Split
from ofa.inputs import Inputs, as_inputs


@dataclass(frozen=True, eq=False)
class Selection:
    """The inputs of some rows (M,) of a split, as a network sees them."""

    split: Split
    positions: Tensor

    @property
    def batch(self) -> int:
        """How many examples."""
        return len(self.positions)

    def rows(self, start: int, stop: int) -> Inputs:
        """Returns the inputs of the rows from `start` to before `stop`."""
        return as_inputs(self.split.take(self.positions[start:stop])[0])

    def with_height(self, height: int) -> Selection:
        """Returns the same rows as images of another height in pixels."""
        return replace(self, split=self.split.with_height(height))
