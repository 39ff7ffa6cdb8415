"""Random programs of the ops that people use: a list of steps, each a small layer, run one after another.

A program is plain data, so that hypothesis can shrink it and print it: `RandomModule(program)` is its model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies
from torch import Tensor, nn

import ofa


@dataclass(frozen=True)
class Program:
    """What a random model consists of. `steps` are names of layers, each with a number that picks a variant."""

    layout: str  # "image" (N, C, H, W) or "tokens" (N, T, C)
    width: int
    steps: tuple[tuple[str, int], ...]
    ending: str  # "pooled", "features" or "several"
    second: bool = False  # whether a second input is added after the first layer
    double: bool = False


class Layer(nn.Module):
    """A layer that keeps (N, C, ...) or (N, T, C), and says how many channels it makes."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__()
        self.out, self.layout, self.variant = width, layout, variant
        self.dim = 1 if layout == "image" else 2

    def mix(self, inputs: int, outputs: int, kernel: int = 1) -> nn.Module:
        """A convolution or a linear layer."""
        if self.layout == "tokens":
            return nn.Linear(inputs, outputs)
        return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


class Mix(Layer):
    """To another width."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.out = (8, 12, 6, 16)[variant]
        self.layer = self.mix(width, self.out, 3 if variant % 2 else 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Grouped(Layer):
    """A grouped or depthwise convolution; a depthwise filter over tokens."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.groups = (width, 2, 1, width)[variant] if width % 2 == 0 else width
        self.layer = (nn.Conv2d if layout == "image" else nn.Conv1d)(width, width, 3, padding=1, groups=self.groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if self.layout == "image" else self.layer(x.transpose(1, 2)).transpose(1, 2)


class Act(Layer):
    """An activation."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.slope = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == 3:
            return F.prelu(x, self.slope) if self.layout == "image" else torch.where(x > 0, x, self.slope * x)
        return (F.gelu, torch.sigmoid, F.leaky_relu)[self.variant](x)


class BatchNorm(Layer):
    """Batch or instance norm; over tokens, the layer norm of PyTorch or one without weights."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        if layout == "image":
            self.norm: nn.Module = nn.InstanceNorm2d(width, affine=True) if variant == 3 else nn.BatchNorm2d(width)
        else:
            self.norm = nn.LayerNorm(width, elementwise_affine=variant != 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


class ChannelNorm(Layer):
    """A norm over channels: group norms, a layer norm, one by the root mean square, one by the length."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.weight = nn.Parameter(torch.ones(width))
        self.norm = nn.GroupNorm(2 if variant == 0 and width % 2 == 0 else 1, width)

    def forward(self, x: Tensor) -> Tensor:
        if self.variant < 2:
            return self.norm(x) if self.layout == "image" else self.norm(x.transpose(1, 2)).transpose(1, 2)
        weight = self.weight.view(-1, 1, 1) if self.layout == "image" else self.weight
        if self.variant == 2:
            return weight * x * torch.rsqrt(x.pow(2).mean(self.dim, keepdim=True) + 1e-6)
        return weight * F.normalize(x, dim=self.dim)


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


class Reduced(Layer):
    """Something is computed over all channels or all positions, and used for each."""

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == 0:
            return x - x.mean(self.dim, keepdim=True)
        if self.variant == 1:
            return x * torch.sigmoid(x.amax(self.dim, keepdim=True))
        if self.variant == 2:
            return x * x.softmax(self.dim)
        others = (2, 3) if self.layout == "image" else (1,)
        return x / (1 + x.std(others, keepdim=True))


class Gate(Layer):
    """Squeeze and excitation."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.down, self.up = nn.Linear(width, 5), nn.Linear(5, 1 if variant == 3 else width)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3)) if self.layout == "image" else x.mean(1)
        gate = torch.sigmoid(self.up(F.gelu(self.down(mean))))
        return x * (gate[..., None, None] if self.layout == "image" else gate[:, None])


class Attention(Layer):
    """Attention over positions: written out by a reshape with -1, fused, by nn.MultiheadAttention, over channels."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.heads = 2 if width % 2 == 0 else 1
        self.size = width // self.heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.whole = nn.MultiheadAttention(width, self.heads, batch_first=True) if variant == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2) if self.layout == "image" else x
        if self.whole is not None:
            y = self.whole(tokens, tokens, tokens, need_weights=False)[0]
        elif self.variant == 3:
            q, k, v = self.q(tokens), self.k(tokens), self.v(tokens)
            y = self.o(v @ (F.normalize(q, dim=1).transpose(1, 2) @ F.normalize(k, dim=1)).softmax(-1))
        else:
            q, k, v = (f(tokens).unflatten(-1, (-1, self.size)).transpose(1, 2) for f in (self.q, self.k, self.v))
            if self.variant == 0:
                mixed = (q @ k.transpose(-2, -1) / self.size**0.5).softmax(-1) @ v
            else:
                mixed = F.scaled_dot_product_attention(q, k, v)
            y = self.o(mixed.transpose(1, 2).flatten(2))
        return x + (y.transpose(1, 2).unflatten(2, x.shape[2:]) if self.layout == "image" else y)


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


class Positions(Layer):
    """Other positions: pooled, enlarged, or mixed by a weight or a fixed table."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.over = nn.Linear(4, 4)
        self.register_buffer("table", torch.rand(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == 0:
            y = x.transpose(-2, -1) if self.layout == "image" else x.transpose(1, 2)
            y = self.over(y)
            return y.transpose(-2, -1) if self.layout == "image" else y.transpose(1, 2)
        if self.variant == 1:
            return self.table.to(x.dtype) @ x
        if self.layout == "tokens":
            return x.cumsum(1) if self.variant == 2 else x.roll(1, 1)
        return F.interpolate(F.avg_pool2d(x, 2), scale_factor=2) if self.variant == 2 else F.max_pool2d(x, 3, 1, 1)


class Shared(Layer):
    """One layer that is used twice, a weight that is used by two, a weight that is made from another."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.layer = self.mix(width, width)
        self.weight = nn.Parameter(torch.randn(width, width) / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == 0:
            return self.layer(F.gelu(self.layer(x)))
        weight = {1: self.weight.t(), 2: self.weight * self.weight, 3: self.weight - self.weight.mean(1, keepdim=True)}
        y = x.movedim(self.dim, -1) @ self.weight
        return F.linear(F.gelu(y), weight[self.variant]).movedim(-1, self.dim)


class Typed(Layer):
    """A number type is named."""

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == 0:
            return x.float().sin().to(x.dtype)
        if self.variant == 1:
            return torch.view_as_real(torch.polar(x.abs() + 1, x)).sum(-1)
        if self.variant == 2:
            return torch.eye(4, dtype=x.dtype) @ x
        return x * (x > 0).to(x.dtype) + 0.1 * x


LAYERS: dict[str, Callable[[int, str, int], Layer]] = {
    kind.__name__: kind
    for kind in (
        Mix, Grouped, Act, BatchNorm, ChannelNorm, Residual, Concatenation, Split, Written, Shuffled, Reduced, Gate,
        Attention, TrainOnly, Positions, Shared, Typed,
    )
}  # fmt: skip


class RandomModule(nn.Module):
    """The model of a program: a first layer, its steps, and an ending."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        width, image = program.width, program.layout == "image"
        self.first: nn.Module = nn.Conv2d(3, width, 3, padding=1) if image else nn.Linear(3, width)
        self.steps = nn.ModuleList()
        for name, variant in program.steps:
            layer = LAYERS[name](width, program.layout, variant)
            self.steps.append(layer)
            width = layer.out
        self.beside = (
            (nn.Conv2d(3, program.width, 1) if image else nn.Linear(3, program.width)) if program.second else None
        )
        self.last: nn.Module = nn.Conv2d(width, 7, 1) if image and program.ending != "pooled" else nn.Linear(width, 5)
        self.double_precision = program.double
        if program.double:
            self.double()

    def forward(self, x: Tensor, other: Tensor | None = None) -> Any:
        x = self.first(x)
        if self.beside is not None and other is not None:
            x = x + self.beside(other)
        for step in self.steps:
            x = step(x)
        if self.program.ending == "pooled":
            return self.last(x.mean((2, 3)) if self.program.layout == "image" else x.mean(1))
        return self.last(x) if self.program.ending == "features" else {"scores": self.last(x), "parts": (x * 2,)}


def inputs_of(program: Program) -> ofa.Inputs:
    """An example for a program's model."""
    generator = torch.Generator().manual_seed(0)
    kind = torch.float64 if program.double else torch.float32
    shape = (3, 3, 4, 4) if program.layout == "image" else (3, 4, 3)
    first, second = (torch.randn(shape, generator=generator, dtype=kind) for _ in range(2))
    return ofa.Inputs(first, other=second) if program.second else ofa.Inputs(first)


def programs(most: int = 5) -> strategies.SearchStrategy[Program]:
    """Random programs of up to `most` steps."""
    step = strategies.tuples(strategies.sampled_from(sorted(LAYERS)), strategies.integers(0, 3))
    return strategies.builds(
        Program,
        layout=strategies.sampled_from(["image", "tokens"]),
        width=strategies.sampled_from([8, 4, 6, 9]),
        steps=strategies.lists(step, min_size=1, max_size=most).map(tuple),
        ending=strategies.sampled_from(["pooled", "features", "several"]),
        second=strategies.booleans(),
        double=strategies.booleans(),
    )
