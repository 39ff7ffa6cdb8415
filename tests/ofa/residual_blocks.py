"""Residual blocks as users write them: what they get, and what they return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 8


class Base(nn.Module):
    """x + f(x) with a normalization first."""

    def __init__(self, index: int = 0) -> None:
        super().__init__()
        self.index = index
        self.norm = nn.LayerNorm(SIZE)
        self.up = nn.Linear(SIZE, 2 * SIZE)
        self.down = nn.Linear(2 * SIZE, SIZE)

    def branch(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(self.norm(x))))

    def forward(self, x: Tensor) -> Any:
        return x + self.branch(x)


class Masked(Base):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x + (self.branch(x) if mask is None else self.branch(x) * mask)


class Rotated(Base):
    def forward(self, x: Tensor, tables: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        cos, sin = tables
        y = self.branch(x)
        return x + (y * cos + y.flip(1) * sin) * mask


class Attending(Base):
    def forward(self, x: Tensor, want_map: bool = True) -> tuple[Tensor, Tensor | None]:
        scores = torch.softmax(x @ x.transpose(1, 2), -1)
        return x + scores @ self.branch(x), scores if want_map else None


class Listed(Base):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x + self.branch(x)]


class Named(Base):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"hidden": x + self.branch(x), "mean": x.mean(1)}


@dataclass
class Output:
    hidden: Tensor
    extra: Tensor | None = None


class Structured(Base):
    def forward(self, x: Tensor) -> Output:
        return Output(x + self.branch(x), x.mean(1))


class PostNorm(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + F.dropout(self.down(F.gelu(self.up(x))), 0.1, self.training))


class PostRootNorm(Base):
    def forward(self, x: Tensor) -> Tensor:
        x = x + self.down(F.gelu(self.up(x)))
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.norm.weight


class Parallel(Base):
    def __init__(self, index: int = 0) -> None:
        super().__init__(index)
        self.other = nn.Linear(SIZE, SIZE)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.other(y) + self.down(F.gelu(self.up(y)))


class Twice(Base):
    def __init__(self, index: int = 0) -> None:
        super().__init__(index)
        self.scale = nn.Parameter(torch.ones(SIZE))
        self.other = nn.Linear(SIZE, SIZE)

    def forward(self, x: Tensor) -> Tensor:
        n, length, size = x.shape
        x = (x + self.scale * self.branch(x)).reshape(n * length, size)
        return (x + self.other(x)).reshape(n, length, size)


class Caching(Base):
    def forward(self, x: Tensor, past: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y = self.branch(x)
        return x + y, (y, 2 * y)


class WithShape(Base):
    def forward(self, inputs: tuple[Tensor, int]) -> tuple[Tensor, int]:
        x, length = inputs
        assert length == x.shape[1]
        return x + self.branch(x), length


class Decoding(Base):
    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> Tensor:
        y = self.branch(x)
        return x + y + torch.softmax(y @ memory.transpose(1, 2), -1) @ memory


class TwoStreams(Base):
    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        return image + self.branch(image) * text.mean(1, keepdim=True), text + self.branch(text)


class BiasMaking(Base):
    """The first makes a bias, the others use it: T5's relative positions."""

    def __init__(self, index: int = 0) -> None:
        super().__init__(index)
        self.bias = nn.Parameter(torch.zeros(1, 5, SIZE)) if index == 0 else None

    def forward(self, x: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if bias is None:
            assert self.bias is not None
            bias = self.bias.expand(x.shape)
        return x + self.branch(x + bias), bias


class Sliced(Base):
    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None, *, output_map: bool = False) -> Any:
        y = hidden_states + self.branch(hidden_states)
        return (y, y.mean(1)) if output_map else (y,)
