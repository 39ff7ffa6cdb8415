"""The state that a pruner resumes from, besides its model and optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ofa.errors import InvalidInput


@dataclass(frozen=True)
class PrunerState:
    """All that a pruner's next step depends on besides model and optimizer.

    Attributes:
        steps: so far.
        progress: how far the schedule was at its last event, 0 to 1.
        masks: bool, True is kept, by name of the parameter.
        memory: what the criterion remembers.
        generator: the state of the random generator.
    """

    steps: int
    progress: float
    masks: Mapping[str, Tensor]
    memory: Mapping[str, Tensor]
    generator: Tensor

    def to_dict(self) -> dict[str, Any]:
        """Returns copies as tensors and numbers."""
        return {
            "steps": self.steps,
            "progress": self.progress,
            "masks": {name: mask.clone() for name, mask in self.masks.items()},
            "memory": {name: value.clone() for name, value in self.memory.items()},
            "generator": self.generator,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any], device: torch.device) -> PrunerState:
        """Returns the state of a `to_dict`, the memory on `device`.

        Raises:
            InvalidInput: it lacks something.
        """
        if missing := {field.name for field in fields(cls)} - set(state):
            raise InvalidInput(f"this is not the state of a pruner: it lacks {', '.join(sorted(missing))}")
        return cls(
            steps=int(state["steps"]),
            progress=float(state["progress"]),
            masks=state["masks"],
            memory={name: value.to(device) for name, value in state["memory"].items()},
            generator=state["generator"].cpu(),
        )
