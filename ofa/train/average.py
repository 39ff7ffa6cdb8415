"""The exponential moving average of the weights of a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

AVERAGE = "average"  # its name in an optimizer's state


@dataclass
class WeightAverage:
    """A moving average of all weights that an optimizer moves.

    The average of a parameter is in the optimizer's state: whatever sorts, masks or cuts a weight does the same
    to what the optimizer remembers of it, and a checkpoint has it already.

    Attributes:
        decay: per step, as `TrainSettings.ema`.
        buffers: the averages of norm statistics, by name; None where they are measured anew (supernets).
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    decay: float
    buffers: dict[str, Tensor] | None = field(default_factory=dict)

    def update(self, step: int) -> None:
        """Moves the averages towards the weights as they are after `step` (the first: 0)."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for parameter in self._parameters():
                state = self.optimizer.state[parameter]
                if AVERAGE in state:
                    state[AVERAGE].lerp_(parameter, weight)
                elif parameter.grad is not None:  # optimizers take an empty state for a weight that never moved
                    state[AVERAGE] = parameter.detach().clone()
            for name, buffer in self._moving_buffers():
                assert self.buffers is not None
                if name in self.buffers:
                    self.buffers[name].lerp_(buffer, weight)
                else:
                    self.buffers[name] = buffer.clone()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model holds the averages within the block, and the trained weights afterwards."""
        pairs = self._pairs()
        trained = [tensor.detach().clone() for tensor, _ in pairs]
        self.put()
        try:
            yield
        finally:
            with torch.no_grad():
                for (tensor, _), before in zip(pairs, trained, strict=True):
                    tensor.copy_(before)

    def put(self) -> None:
        """Copies the averages into the model, for good."""
        with torch.no_grad():
            for tensor, average in self._pairs():
                tensor.copy_(average)

    def state_dict(self) -> dict[str, Any]:
        """Returns what is not in the optimizer's state."""
        return {"buffers": dict(self.buffers or {})}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts back what `state_dict` returned."""
        if self.buffers is not None:
            present = dict(self._moving_buffers())
            self.buffers = {name: present[name].clone().copy_(average) for name, average in state["buffers"].items()}

    def _parameters(self) -> Iterator[nn.Parameter]:
        for group in self.optimizer.param_groups:
            yield from group["params"]

    def _moving_buffers(self) -> Iterator[tuple[str, Tensor]]:
        if self.buffers is not None:
            for name, buffer in self.model.named_buffers():
                if buffer.is_floating_point():
                    yield name, buffer

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Each tensor of the model that is averaged, with its average."""
        pairs: list[tuple[Tensor, Tensor]] = []
        for parameter in self._parameters():
            average = self.optimizer.state.get(parameter, {}).get(AVERAGE)
            if average is not None:
                pairs.append((parameter, average))
        buffers = self.buffers or {}
        return pairs + [(buffer, buffers[name]) for name, buffer in self._moving_buffers() if name in buffers]
