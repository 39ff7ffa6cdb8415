"""Soft pruning: channels or weights are zeroed and still trained, so that they may come back, until it is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, is_number
from ofa.prune.context import Allocation, Criterion, PruneContext
from ofa.prune.granularity import ChannelGranularity, Granularity
from ofa.prune.removal import masks_after
from ofa.prune.times import Time, check_times, whole
from ofa.prune.units import outputs_dim


@dataclass(frozen=True)
class Soft:
    """A schedule that zeroes the weakest after each epoch and lets them train on; at `until` the weakest then go.

    What is zero gets gradients and may be among the best at the next event. Channels are zeroed where they are made
    alone: were the weights that read them zero too, no gradient would reach them.

    Attributes:
        final: the sparsity of every event.
        until: when the masks are decided, for good.
        steps_per_epoch: steps between events; None where `resolved` gets it.

    Source: He et al. 2018, 1808.06866 (soft filter pruning), algorithm 1.
    """

    final: float
    until: Time = 0.8
    steps_per_epoch: Time | None = None

    def __post_init__(self) -> None:
        check_times(self)
        if not is_number(self.final) or not 0 <= self.final < 1:
            raise InvalidInput(f"Soft: final={self.final!r} is the fraction removed; it must be 0 or more and below 1")

    def __call__(self, step: int) -> float | None:
        """Returns the sparsity of the event of this step, None where there is no event."""
        until = whole(self, "until")
        due = step == until or (0 < step < until and step % whole(self, "steps_per_epoch") == 0)
        return self.final if due else None

    def is_soft(self, step: int) -> bool:
        """Returns whether what an event of this step zeroes may come back."""
        return step < whole(self, "until")


@torch.no_grad()
def soften_(
    sparsity: float,
    context: PruneContext,
    masks: Mapping[str, Tensor],
    parts: tuple[Granularity, Criterion, Allocation],
) -> None:
    """Zeroes in place what `masks_after` would remove; no mask changes, so it is trained on and may come back."""
    gone = masks_after(sparsity, 1.0, context, masks, *parts)
    zero_(context.model, context.weights, gone, outputs=isinstance(parts[0], ChannelGranularity))


def zero_(model: nn.Module, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], *, outputs: bool) -> None:
    """Zeroes the weights that masks remove, in place; with `outputs` only the channels of outputs that go whole."""
    for name, weight in weights.items():
        if name not in masks:
            continue
        mask = masks[name].to(weight.device)
        if outputs:
            dim = outputs_dim(model.get_submodule(name.rpartition(".")[0]))
            others = [other for other in range(mask.dim()) if other != dim]
            mask = mask.any(dim=others).reshape([-1 if other == dim else 1 for other in range(mask.dim())])
        weight.mul_(mask)
