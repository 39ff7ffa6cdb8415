"""N of M: in every M consecutive inputs of a row, N weights stay, as sparse tensor cores want it (2:4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.prune.granularity.weight import WeightGranularity, live_scores


@dataclass(frozen=True, eq=False)
class NOfMGranularity(WeightGranularity):
    """Single weights, ranked first by their place among the M inputs they stand with.

    Every weight that is one of the best N of its M comes before every other, so that a share of exactly N/M keeps
    N of each M, and a smaller sparsity on the way there removes the worst of some.
    """

    n: int = 2
    m: int = 4

    def gather(self, scores: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns for each weight how it ranks: whole numbers by its place, fractions by its score."""
        found = []
        for name in self.shapes:
            ranked = self._ranked(live_scores(scores[name], masks[name]).double())
            found.append(ranked.masked_fill(~masks[name].cpu().reshape(-1), -torch.inf))
        return found

    def _ranked(self, score: Tensor) -> Tensor:
        # Inputs are dimension 1; what is consecutive there must be consecutive in the last dimension to be grouped.
        rows = score.movedim(1, -1).reshape(-1, self.m)
        best_first = torch.argsort(rows, dim=1, descending=True, stable=True)
        place = torch.argsort(best_first, dim=1)
        order = torch.argsort(torch.argsort(rows.reshape(-1), stable=True)).reshape(rows.shape)
        ranked = (self.m - place).double() + order / (2.0 * order.numel())
        shape = score.movedim(1, -1).shape
        return ranked.reshape(shape).movedim(-1, 1).reshape(-1)


def n_of_m(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    example_input: Tensor | None = None,
    *,
    n: int = 2,
    m: int = 4,
) -> NOfMGranularity:
    """Returns the granularity in which `n` of every `m` consecutive inputs stay; aim at a sparsity of 1 - n/m.

    Source: Mishra et al. 2021, 2104.08378 (2:4). Weights whose inputs are no multiple of `m` stay whole.

    Raises:
        InvalidInput: n and m are not 0 < n < m, or no weight has a multiple of m inputs.
    """
    if not 0 < n < m:
        raise InvalidInput(f"n={n!r} of m={m!r}: keep at least 1 and fewer than all, such as n=2, m=4")
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items() if tensor.shape[1] % m == 0}
    if not shapes:
        inputs = sorted({tensor.shape[1] for tensor in weights.values()})
        raise InvalidInput(f"m={m}: no weight has a multiple of {m} inputs (they have {inputs})")
    return NOfMGranularity(model, shapes, example_input, n, m)


def keeps_pattern(mask: Tensor, n: int, m: int) -> bool:
    """Returns whether at most `n` of every `m` consecutive inputs of a mask (rows, inputs, ...) are kept."""
    return bool((mask.movedim(1, -1).reshape(-1, m).sum(dim=1) <= n).all())
