"""Networks with planted useless units, spread over a layer, and a function that measures agreement with the labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import ofa

WIDTH = 16
FINE = ofa.SpaceRules(width_ratios=[i / WIDTH for i in range(1, WIDTH + 1)], multiple_of=1)


def planted(useful: tuple[int, int], seed: int = 0) -> tuple[nn.Sequential, list[Tensor]]:
    """Two hidden layers of 16 units, of which `useful` matter, the rest being nearly silent; and which matter."""
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(8, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 5))
    matter = []
    with torch.no_grad():
        for parameter in net.parameters():
            scale = (2 / parameter.shape[1]) ** 0.5 if parameter.dim() == 2 else 0.1
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
        for number, count in enumerate(useful):
            ranked = torch.randperm(WIDTH, generator=generator)
            silent = ranked[count:]
            net[2 * number].weight[silent] *= 0.01
            net[2 * number].bias[silent] = 0
            net[2 * number + 2].weight[:, silent] *= 0.01
            matter.append(ranked[:count].sort().values)
    return net.eval(), matter


def agreement(model: nn.Module, images: Tensor) -> Callable[[nn.Module], float]:
    """A function that says how often a network puts an image where `model` does; 1 for `model` itself."""
    with torch.no_grad():
        labels = model(images).argmax(dim=1)
    return lambda net: ofa.evaluate(net, images, labels)


def vectors(count: int = 256) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(9))
