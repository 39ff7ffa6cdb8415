"""Layers of random programs that split, join or reorder what they are given."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.ofa.random_layers import Layer


class Residual(Layer):
    """A sum of the input and two layers, with an inner width of its own."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.first, self.second = self.mix(width, 10, 3), self.mix(10, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.gelu(self.first(x)))
        return (x + y, y + x, x * torch.sigmoid(y), torch.maximum(x, y))[self.variant]


class Concatenation(Layer):
    """The input or nothing of it, beside layers of it."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.first, self.second = self.mix(width, 6), self.mix(width, 4)
        self.out = (width + 6, 10, 10 + 2, width + width)[variant]

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.first(x), self.second(x)
        if self.variant == 2:
            zeros = torch.zeros_like(a).narrow(self.dim, 0, 2)
            return torch.cat([a, zeros, b], self.dim)
        return torch.cat([(x, a), (b, a), (), (x, x.sin())][self.variant], self.dim)


class Split(Layer):
    """Two halves for different layers, or a gate of one for the other."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        half = width // 2
        self.left, self.right = self.mix(half, 6), self.mix(width - half, 6)
        self.even = width % 2 == 0
        self.out = (6, 12, half, width)[variant] if self.even else 6

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[self.dim] // 2
        if not self.even or self.variant == 0:
            a, b = x.narrow(self.dim, 0, half), x.narrow(self.dim, half, x.shape[self.dim] - half)
            return self.left(a) + self.right(b)
        a, b = x.chunk(2, self.dim)
        if self.variant == 1:
            return torch.cat([self.left(a), self.right(b)], self.dim)
        return F.glu(x, self.dim) if self.variant == 2 else torch.cat([a.sin(), b.cos()], self.dim)


class Written(Layer):
    """A size that is written into the code: a slice, a reshape, a constant of the width, padding."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.size = width
        self.out = (max(1, width - 2), width, width, width + 2)[variant]

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == 0:
            return x.narrow(self.dim, 1, self.size - 2) if self.size > 2 else x.narrow(self.dim, 0, 1)
        if self.variant == 1:
            table = torch.linspace(0.5, 1.5, self.size, dtype=x.dtype)
            return x * (table.view(-1, 1, 1) if self.layout == "image" else table)
        if self.variant == 2:
            return x.reshape(x.shape[0], self.size, *x.shape[2:]) if self.layout == "image" else x.reshape(
                x.shape[0], -1, self.size
            )  # fmt: skip
        return F.pad(x, (0, 0, 0, 0, 1, 1) if self.layout == "image" else (1, 1))


class Shuffled(Layer):
    """Channels in another order."""

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == 0:
            return x.flip(self.dim)
        if self.variant == 1:
            return x.roll(1, self.dim)
        count = x.shape[self.dim]
        if count % 2 or self.variant == 3:
            return x[:, torch.arange(count).flip(0)] if self.dim == 1 else x[..., torch.arange(count - 1, -1, -1)]
        y = x.unflatten(self.dim, (2, count // 2)).transpose(self.dim, self.dim + 1)
        return y.flatten(self.dim, self.dim + 1)


class TrainOnly(Layer):
    """A branch that runs in training alone."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.aside, self.back = self.mix(width, 6), self.mix(6, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return x + self.back(F.gelu(self.aside(x))) if self.variant % 2 else self.drop(x)
        return x if self.variant < 3 else x + self.aside(x).mean()
