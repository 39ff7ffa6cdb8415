"""Weights for penalties to act on, and their groups."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def parameters(seed: int = 0) -> dict[str, nn.Parameter]:
    shapes = {"conv.weight": (3, 2, 2, 2), "conv.bias": (3,), "norm.weight": (3,), "norm.bias": (3,)}
    shapes |= {"middle.weight": (4, 3), "last.weight": (2, 4), "last.bias": (2,)}
    generator = torch.Generator().manual_seed(seed)
    return {
        name: nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))
        for name, shape in shapes.items()
    }


def groups(weights: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
    """Each neuron's incoming weights with its bias, one by one."""
    result = []
    for name in ("conv", "middle", "last"):
        for row, held in enumerate(weights[f"{name}.weight"]):
            bias = [weights[f"{name}.bias"][row].reshape(1)] if f"{name}.bias" in weights else []
            result.append((name, torch.cat([held.reshape(-1), *bias])))
    return result
