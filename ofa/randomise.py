"""Randomised weights and statistics, so that no fresh zero or one hides a mistake."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def randomise_(model: nn.Module, seed: int = 0) -> nn.Module:
    """Returns the model with parameters and norm statistics drawn anew, so that no zero or one hides a mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = max(1, parameter[0].numel()) if parameter.dim() >= 2 else 4
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / fan_in**0.5
            parameter.copy_(drawn if parameter.dim() >= 2 else 1 + drawn)
        for module in model.modules():
            mean, variance = getattr(module, "running_mean", None), getattr(module, "running_var", None)
            if isinstance(mean, Tensor) and isinstance(variance, Tensor):
                mean.copy_(torch.randn(mean.shape, generator=generator, dtype=torch.float64) / 4)
                variance.copy_(0.5 + torch.rand(variance.shape, generator=generator, dtype=torch.float64))
    return model
