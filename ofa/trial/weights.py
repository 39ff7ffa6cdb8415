"""Random weights that can be set again: the same numbers every time, without a copy of them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_COUNT = 1_048_573  # a prime, so that no two rows of a matrix begin at the same number
_CHANGE = 0.1  # of a model's own weights, relative


def _draws() -> Tensor:
    return torch.randn(_COUNT, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class Weights:
    """Numbers for each parameter by its name: normal, about 1 for vectors, otherwise scaled by the fan-in.

    Attributes:
        draws: the table that they are read from, each parameter from a place of its own.
        own: parameters by name, where each weight is to be one of these, changed a little.
    """

    draws: Tensor
    own: Mapping[str, Tensor] | None = None

    @classmethod
    def random(cls) -> Weights:
        """Returns weights that have nothing of a model's own."""
        return cls(_draws())

    def near(self, model: nn.Module) -> Weights:
        """Returns weights that are a model's own, changed a little."""
        return Weights(self.draws, dict(model.named_parameters()))

    def fill_(self, name: str, parameter: Tensor) -> None:
        """Sets a parameter to its numbers; integers stay."""
        if not (parameter.is_floating_point() or parameter.is_complex()) or not parameter.numel():
            return
        target = parameter.detach()
        if self.own is not None:
            noise = torch.empty(target.shape, dtype=torch.float32)
            self._read(name, noise.view(-1), _CHANGE)
            target.copy_(self.own[name].detach()).mul_(noise.add_(1))
            return
        size = target.shape
        fan_in = max(1, size[1:].numel()) if len(size) >= 2 else 4
        dense = target if target.is_contiguous() else torch.empty(size, dtype=target.dtype)
        real = torch.view_as_real(dense) if dense.is_complex() else dense
        self._read(name, real.view(-1), fan_in**-0.5)
        if len(size) < 2:
            dense.add_(1)
        if dense is not target:
            target.copy_(dense)

    def _read(self, name: str, flat: Tensor, scale: float) -> None:
        """Sets a vector to the numbers of a name times `scale`."""
        offset = zlib.crc32(name.encode()) % _COUNT
        start = 0
        while start < len(flat):
            piece = flat[start : start + _COUNT - offset]
            torch.mul(self.draws[offset : offset + len(piece)], scale, out=piece)
            start, offset = start + len(piece), 0

    def fill_all_(self, model: nn.Module) -> nn.Module:
        """Returns the model with every parameter set."""
        for name, parameter in model.named_parameters():
            self.fill_(name, parameter)
        return model
