"""Trace: everything that one run of a model on labels wrote down."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ofa import lanes

Lanes = tuple[Tensor, ...]


@dataclass(frozen=True)
class Source:
    """A parameter or buffer: its first name, its tensor, and its first label along each dimension."""

    name: str
    tensor: Tensor
    offsets: tuple[int | None, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The size along each dimension."""
        return tuple(self.tensor.shape)


def find_sources(model: nn.Module) -> dict[str, Source]:
    """Returns every parameter and buffer of `model` once, under its first name, with labels of its own.

    Labels start at 1 (0 is the constant) and exist along dimensions of more than one entry.
    """
    sources: dict[str, Source] = {}
    seen: set[int] = set()
    label = lanes.CONSTANT + 1
    for name, tensor in [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]:
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        offsets: list[int | None] = []
        for size in tensor.shape:
            offsets.append(label if size > 1 else None)
            label += size if size > 1 else 0
        sources[name] = Source(name, tensor, tuple(offsets))
    return sources


@dataclass(frozen=True)
class Contraction:
    """One multiply-accumulate op: `positions` times the weight's entries, for one example.

    Where no single weight takes part (a product of two activations) `weight` is None and `macs` says it all.
    """

    module: str
    weight: str | None
    positions: int
    macs: int


@dataclass(frozen=True)
class Call:
    """One call of a module: from one tensor to one of the same shape, as a residual sum of it or not."""

    module: str
    residual: bool


@dataclass
class Trace:
    """What was seen: labels that met, labels that must stay and why, products of sizes, and module calls."""

    pairs: list[Tensor] = field(default_factory=list)
    fixed: list[tuple[Tensor, str]] = field(default_factory=list)
    grids: list[Tensor] = field(default_factory=list)
    renormalised: list[Tensor] = field(default_factory=list)
    contractions: list[Contraction] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    order: dict[str, int] = field(default_factory=dict)
    grouped: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)
    where: dict[str, str] = field(default_factory=dict)

    def meet(self, first: Tensor, second: Tensor, reason: str) -> None:
        """Records that labels laid over each other stay or go together; next to a constant they stay."""
        found = lanes.pair(first, second)
        constant = (found == lanes.CONSTANT).any(dim=1)
        if bool(constant.any()):
            self.fix(found[constant], reason)
            found = found[~constant]
        self.pairs.append(found)

    def fix(self, labels: Tensor, reason: str) -> None:
        """Records that these labels stay, and why."""
        self.fixed.append((torch.unique(lanes.compact(labels)), reason))

    def pair_array(self) -> np.ndarray:
        """Returns the distinct unordered pairs as int64 (pairs, 2), smaller label first."""
        if not self.pairs:
            return np.zeros((0, 2), dtype=np.int64)
        pairs = torch.cat(self.pairs).numpy()
        return np.unique(np.sort(pairs, axis=1), axis=0)
