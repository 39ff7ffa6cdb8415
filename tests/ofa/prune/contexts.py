"""Small models, data and contexts that criteria are tried on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.models import LeNet5, ResNet
from ofa.prune.context import PruneContext
from ofa.prune.weights import full_masks, prunable_weights
from ofa.randomize import randomize_

SHAPE = (3, 12, 12)
MODELS: dict[str, Callable[[], nn.Module]] = {
    "lenet5": lambda: LeNet5(SHAPE, 5, channels=(4, 6), hidden=(12, 8), batch_norm=True),
    "resnet8": lambda: ResNet(SHAPE, 5, depth=8, widths=(4, 6, 8)),
}

Batch = tuple[Tensor, Tensor]


def labeled(shape: tuple[int, ...] = SHAPE, sizes: tuple[int, ...] = (6, 2), classes: int = 5) -> list[Batch]:
    """Batches of unequal size, in double precision."""
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(size, *shape, generator=generator, dtype=torch.float64),
            torch.randint(classes, (size,), generator=generator),
        )
        for size in sizes
    ]


def context_of(
    model: nn.Module, batches: list[Batch] | None = None, masks: dict[str, Tensor] | None = None, seed: int = 0
) -> PruneContext:
    """A context of a model whose masked weights are set to 0."""
    weights = prunable_weights(model)
    masks = {**full_masks(weights), **(masks or {})}
    with torch.no_grad():
        for name, weight in weights.items():
            weight.mul_(masks[name])
    generator = torch.Generator().manual_seed(seed)
    make = None if batches is None else (lambda: batches)
    return PruneContext(model, weights, masks, generator, batches=make)


def model_context(name: str, seed: int = 0) -> PruneContext:
    """A randomized model of `MODELS` in double precision, a third of its weights removed, with data."""
    model = randomize_(MODELS[name]().double())
    generator = torch.Generator().manual_seed(2)
    masks = {
        weight: torch.rand(tensor.shape, generator=generator) > 1 / 3
        for weight, tensor in prunable_weights(model).items()
    }
    return context_of(model, labeled(), masks, seed)


def smooth_net() -> nn.Sequential:
    """A small net that is smooth in its weights, for finite differences; dropout only runs in train mode."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)
    ).double()


def mean_loss(model: nn.Module, batches: list[Batch], temperature: float = 1.0) -> float:
    """The mean cross entropy over all images of all batches at once, in eval mode."""
    images, labels = torch.cat([i for i, _ in batches]), torch.cat([n for _, n in batches])
    model.eval()
    with torch.no_grad():
        return float(functional.cross_entropy(model(images) / temperature, labels))


def slopes(weight: nn.Parameter, value: Callable[[], float], step: float = 1e-5) -> Tensor:
    """The derivative of `value` by each weight, by central differences."""
    gradient = torch.zeros_like(weight).reshape(-1)
    flat = weight.detach().view(-1)
    for position in range(len(flat)):
        before = flat[position].clone()
        flat[position] = before + step
        above = value()
        flat[position] = before - step
        gradient[position] = (above - value()) / (2 * step)
        flat[position] = before
    return gradient.reshape(weight.shape)
