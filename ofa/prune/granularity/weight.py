"""Single weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from ofa.prune.granularity.pool import Pool
from ofa.prune.granularity.positions import WeightUse, find_use


@dataclass(frozen=True, eq=False)
class WeightGranularity:
    """Every weight is a piece of its own."""

    model: nn.Module
    shapes: Mapping[str, tuple[int, ...]]
    example_input: Tensor | None

    @cached_property
    def use(self) -> WeightUse:
        """What each weight costs, found when it is first asked for."""
        return find_use(self.model, self.example_input)

    @property
    def pools(self) -> tuple[Pool, ...]:
        """One a weight tensor."""
        return tuple(Pool(name, _count(shape), _count(shape), shape) for name, shape in self.shapes.items())

    def gather(self, scores: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns each tensor's scores, flattened; a row's score counts for each of its weights."""
        return [live_scores(scores[name], masks[name]).reshape(-1) for name in self.shapes]

    def spread(self, keep: Sequence[Tensor]) -> dict[str, Tensor]:
        """Returns the masks in the weights' shapes."""
        return {name: kept.reshape(shape) for (name, shape), kept in zip(self.shapes.items(), keep, strict=True)}

    def cost(self, counts: Sequence[int]) -> dict[str, float]:
        """Returns "params" and, where the input is known, "macs" of what is not zero."""
        return self.use.cost(self.model, dict(zip(self.shapes, counts, strict=True)))


def weight(model: nn.Module, weights: Mapping[str, Tensor], example_input: Tensor | None = None) -> WeightGranularity:
    """Returns unstructured granularity: every weight by itself."""
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    return WeightGranularity(model, shapes, example_input)


def live_scores(scores: Tensor, mask: Tensor) -> Tensor:
    """Returns scores of the mask's shape on the CPU, from those or from one a row (rows,), -inf where it is False."""
    scores = scores.detach()
    if scores.shape != mask.shape:
        scores = scores.reshape(-1, *([1] * (mask.dim() - 1))).expand(mask.shape)
    if int(mask.count_nonzero()) == mask.numel():  # much quicker than all()
        return scores.cpu()
    return torch.where(mask, scores, -torch.inf).cpu()


def _count(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())
