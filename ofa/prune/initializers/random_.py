"""Initial weights that need no data: Kaiming, Xavier (Glorot) and orthogonal."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, nearest
from ofa.inputs import Example
from ofa.prune.initializers.layers import Layer, fans, layers, normal, reset_, rows, set_rows_

MODES = ("fan_in", "fan_out")
DISTRIBUTIONS = ("normal", "uniform")


def kaiming_(
    model: nn.Module,
    images: Example | None,
    generator: torch.Generator,
    *,
    mode: str = "fan_in",
    distribution: str = "normal",
    gain: float = math.sqrt(2),
) -> None:
    """Sets weights of variance gain^2 / fan, and zero biases, in place; `images` are not looked at.

    Source: He et al. 2015, 1502.01852, equations 10 and 14; gain sqrt(2) is for ReLU.

    Raises:
        InvalidInput: an unknown mode or distribution.
    """
    if mode not in MODES:
        raise InvalidInput(f"kaiming_ mode={mode!r} is unknown; {nearest(mode, MODES)}")
    _fill(model, generator, distribution, lambda layer: gain / math.sqrt(fans(layer)[MODES.index(mode)]))


def xavier_(
    model: nn.Module,
    images: Example | None,
    generator: torch.Generator,
    *,
    distribution: str = "normal",
    gain: float = 1.0,
) -> None:
    """Sets weights of variance 2 gain^2 / (fan in + fan out), and zero biases, in place; without `images`.

    Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks",
    equations 12 and 16.

    Raises:
        InvalidInput: an unknown distribution.
    """
    _fill(model, generator, distribution, lambda layer: gain * math.sqrt(2 / sum(fans(layer))))


def orthogonal_(
    model: nn.Module, images: Example | None, generator: torch.Generator, *, gain: float = math.sqrt(2)
) -> None:
    """Sets weights whose rows (or columns, if fewer) are orthogonal, of length `gain`; zero biases; without `images`.

    Source: Saxe et al. 2014, 1312.6120; the sign of the QR factors as in Mezzadri 2007, math-ph/0609050.
    """
    reset_(model)
    for layer in layers(model).values():
        set_rows_(layer, gain * orthonormal(rows(layer).shape, generator))


def orthonormal(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Returns a matrix (rows, columns), float64, with orthonormal rows, or columns where those are fewer."""
    tall = (max(shape), min(shape))
    basis, triangle = torch.linalg.qr(normal(tall, generator))
    basis = basis * triangle.diagonal().sign()  # without it some rotations come more often than others
    result: Tensor = basis if shape[0] >= shape[1] else basis.T
    return result


def _fill(model: nn.Module, generator: torch.Generator, distribution: str, deviation: Callable[[Layer], float]) -> None:
    if distribution not in DISTRIBUTIONS:
        raise InvalidInput(f"distribution={distribution!r} is unknown; {nearest(distribution, DISTRIBUTIONS)}")
    reset_(model)
    for layer in layers(model).values():
        shape = rows(layer).shape
        if distribution == "normal":
            drawn = normal(shape, generator)
        else:
            drawn = (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1) * math.sqrt(3)
        set_rows_(layer, deviation(layer) * drawn)
