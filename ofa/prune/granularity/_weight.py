"""Single weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from ofa.inputs import Example
from ofa.prune.granularity.pool import Pool
from ofa.prune.granularity.positions import WeightUse, find_use
from ofa.prune.selection import keep_best


@dataclass(frozen=True, eq=False)
class WeightGranularity:
    """Every weight is a piece."""

    model: nn.Module
    shapes: Mapping[str, tuple[int, ...]]
    example_input: Example | None

    @cached_property
    def use(self) -> WeightUse:
        """What each weight costs, computed on first use."""
        return find_use(self.model, self.example_input)

    @property
    def pools(self) -> tuple[Pool, ...]:
        """One per weight tensor."""
        return tuple(Pool(name, _count(shape), _count(shape), shape) for name, shape in self.shapes.items())

    def gather(self, scores: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns each tensor's scores, flattened; a row's score counts for each of its weights."""
        return [live_scores(scores[name], masks[name]).reshape(-1) for name in self.shapes]

    def spread(self, keep: Sequence[Tensor]) -> dict[str, Tensor]:
        """Returns the masks in the weights' shapes."""
        return {name: entries.reshape(shape) for (name, shape), entries in zip(self.shapes.items(), keep, strict=True)}

    def swap(self, mask: Tensor, drop: Tensor, grow: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
        """Returns what stays and what grows of a weight, bool, when a fraction of the live ones is swapped."""
        return swap_weights(mask, drop, grow, fraction)

    def cost(self, counts: Sequence[int]) -> dict[str, float]:
        """Returns "params" and, where the input is known, "macs" of what is not zero."""
        return self.use.cost(self.model, dict(zip(self.shapes, counts, strict=True)))


def weight(model: nn.Module, weights: Mapping[str, Tensor], example_input: Example | None = None) -> WeightGranularity:
    """Returns unstructured granularity: every weight by itself."""
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    return WeightGranularity(model, shapes, example_input)


def live_scores(scores: Tensor, mask: Tensor) -> Tensor:
    """Returns scores of the mask's shape on the CPU, from those or from one per row (rows,), -inf where it is False."""
    scores = scores.detach()
    if scores.shape != mask.shape:
        scores = scores.reshape(-1, *([1] * (mask.dim() - 1))).expand(mask.shape)
    if int(mask.count_nonzero()) == mask.numel():  # much faster than all()
        return scores.cpu()
    return torch.where(mask, scores, -torch.inf).cpu()


def swap_weights(mask: Tensor, drop: Tensor, grow: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    """Returns what stays and what grows when single weights (or pieces) swap, bool, of the mask's shape."""
    live = int(mask.count_nonzero())  # 20 times faster than sum()
    count = min(round(fraction * live), mask.numel() - live)
    return keep_best(_only(drop, mask), live - count), keep_best(_only(grow, ~mask), count)


def _only(scores: Tensor, where: Tensor) -> Tensor:
    """The scores where they count, -inf elsewhere."""
    return scores.detach().masked_fill(~where, -math.inf)


def _count(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())
