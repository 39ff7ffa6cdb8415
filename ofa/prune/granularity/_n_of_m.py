"""N of M: in every M consecutive inputs of a row, N weights stay, as sparse tensor cores require (2:4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import Example
from ofa.prune.granularity._weight import WeightGranularity, live_scores
from ofa.prune.selection import keep_best


@dataclass(frozen=True, eq=False)
class NOfMGranularity(WeightGranularity):
    """Single weights, ranked first within their M inputs.

    Every weight that is one of the best N of its M comes before every other, so that a share of exactly N/M keeps
    N of each M, and a smaller sparsity on the way there removes the worst of some.
    """

    n: int = 2
    m: int = 4

    def gather(self, scores: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns the rank of each weight: the whole part within its M inputs, the fraction by its score."""
        ranks = []
        for name in self.shapes:
            ranked = self._ranked(live_scores(scores[name], masks[name]).double())
            ranks.append(ranked.masked_fill(~masks[name].cpu().reshape(-1), -torch.inf))
        return ranks

    def swap(self, mask: Tensor, drop: Tensor, grow: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
        """Returns what stays and what grows of a weight, bool, when live weights are swapped for others of their M.

        As many grow in each M as go, so that the pattern stays. Ties go by position.
        """
        if mask.shape[1] % self.m:
            return mask, torch.zeros_like(mask)
        live = self._rows(mask.cpu())
        worst_last = self._places(self._rows(drop.detach().cpu()), live)
        live_count = live.sum(dim=1, keepdim=True)
        free = live & (
            worst_last >= live_count - torch.minimum(live_count, self.m - live_count)
        )  # no more than can grow
        count = min(round(fraction * int(live.sum())), int(free.sum()))
        value = self._rows(drop.detach().cpu()).double().masked_fill(live & ~free, torch.inf)
        stay = keep_best(value.masked_fill(~live, -torch.inf), int(live.sum()) - count)
        going = (live & ~stay).sum(dim=1, keepdim=True)
        grown = ~live & (self._places(self._rows(grow.detach().cpu()), ~live) < going)
        return self._whole(stay, mask), self._whole(grown, mask)

    def _rows(self, values: Tensor) -> Tensor:
        """Each M inputs as a row: what is consecutive in dimension 1 must be so in the last to be grouped."""
        return values.movedim(1, -1).reshape(-1, self.m)

    def _whole(self, rows: Tensor, like: Tensor) -> Tensor:
        return rows.reshape(like.movedim(1, -1).shape).movedim(-1, 1).to(like.device)

    @staticmethod
    def _places(scores: Tensor, among: Tensor) -> Tensor:
        """The rank of each counted score in its row, the best first."""
        ordered = scores.double().masked_fill(~among, -torch.inf)
        return torch.argsort(torch.argsort(ordered, dim=1, descending=True, stable=True), dim=1)

    def _ranked(self, score: Tensor) -> Tensor:
        rows = self._rows(score)
        rank = self._places(rows, torch.ones_like(rows, dtype=torch.bool))
        order = torch.argsort(torch.argsort(rows.reshape(-1), stable=True)).reshape(rows.shape)
        ranked = (self.m - rank).double() + order / (2.0 * order.numel())
        shape = score.movedim(1, -1).shape
        return ranked.reshape(shape).movedim(-1, 1).reshape(-1)


def n_of_m(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    example_input: Example | None = None,
    *,
    n: int = 2,
    m: int = 4,
) -> NOfMGranularity:
    """Returns the granularity in which `n` of every `m` consecutive inputs stay; aim at a sparsity of 1 - n/m.

    Source: Mishra et al. 2021, 2104.08378 (2:4). Weights whose inputs are not a multiple of `m` stay whole.

    Raises:
        InvalidInput: n and m are not 0 < n < m, or no weight has a multiple of m inputs.
    """
    if not 0 < n < m:
        raise InvalidInput(f"n={n!r} of m={m!r}: keep at least 1 and fewer than all, such as n=2, m=4")
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items() if _inputs(tensor) % m == 0}
    if not shapes:
        inputs = sorted({_inputs(tensor) for tensor in weights.values()})
        raise InvalidInput(f"m={m}: no weight has a multiple of {m} inputs (they have {inputs})")
    return NOfMGranularity(model, shapes, example_input, n, m)


def _inputs(weight: Tensor) -> int:
    return weight.shape[1] if weight.dim() > 1 else 1
