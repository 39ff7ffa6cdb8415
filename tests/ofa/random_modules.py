"""Random programs of the ops that people use: a list of steps, each a small layer, run one after another.

A program is plain data, so that hypothesis can shrink it and print it: `RandomModule(program)` is its model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies
from torch import Tensor, nn

import ofa
from tests.ofa.random_branches import Concatenation, Residual, Shuffled, Split, TrainOnly, Written
from tests.ofa.random_layers import (
    Act,
    Attention,
    BatchNorm,
    ChannelNorm,
    Gate,
    Grouped,
    Layer,
    Mix,
    Positions,
    Reduced,
    Shared,
    Typed,
)


@dataclass(frozen=True)
class Program:
    """What a random model consists of. `steps` are names of layers, each with a number that picks a variant."""

    layout: str  # "image" (N, C, H, W) or "tokens" (N, T, C)
    width: int
    steps: tuple[tuple[str, int], ...]
    ending: str  # "pooled", "features" or "several"
    second: bool = False  # whether a second input is added after the first layer
    double: bool = False


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
