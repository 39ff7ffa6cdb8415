"""Randomized weights and statistics, so that no fresh zero or one hides a mistake."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def randomize_(model: nn.Module, seed: int = 0) -> nn.Module:
    """Returns the model with parameters and norm statistics redrawn, so that no zero or one hides a mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            draw_(parameter, parameter.shape, generator)
    return randomize_statistics_(model, generator)


def randomize_statistics_(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Returns the model with its norms' running means and variances redrawn."""
    with torch.no_grad():
        for module in model.modules():
            mean, variance = getattr(module, "running_mean", None), getattr(module, "running_var", None)
            if isinstance(mean, Tensor) and isinstance(variance, Tensor):
                mean.copy_(torch.randn(mean.shape, generator=generator, dtype=torch.float64) / 4)
                variance.copy_(0.5 + torch.rand(variance.shape, generator=generator, dtype=torch.float64))
    return model


def draw_(part: Tensor, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Returns `part` of a parameter of this shape, drawn in place: about 1 for vectors, else scaled by the fan-in."""
    if not part.is_floating_point() and not part.is_complex():
        return part
    fan_in = max(1, torch.Size(shape[1:]).numel()) if len(shape) >= 2 else 4
    part.normal_(generator=generator).div_(fan_in**0.5)
    return part if len(shape) >= 2 else part.add_(1)
