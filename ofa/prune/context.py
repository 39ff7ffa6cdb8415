"""What a criterion is given, and the type of a criterion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput

Batches: TypeAlias = Callable[[], Iterable[tuple[Tensor, Tensor]]]
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class PruneContext:
    """One event of pruning, as a criterion or a regrowth sees it.

    Attributes:
        model: the masked model, in whatever mode it is; a criterion leaves mode, weights, gradients and
            buffers as it found them.
        weights: the parameters that may be pruned, by name.
        masks: bool, of the shape of each weight: what is alive now.
        generator: draws everything random; a CPU generator that belongs to the pruner.
        step: steps of the optimizer so far.
        batches: makes the labelled batches (images (N, C, H, W), labels (N,)) that scores are measured on.
        loss: (model output, labels) -> scalar.
        memory: what a criterion keeps from step to step, tensors by a name of its choice; saved with the pruner.
    """

    model: nn.Module
    weights: Mapping[str, nn.Parameter]
    masks: Mapping[str, Tensor]
    generator: torch.Generator
    step: int = 0
    batches: Batches | None = None
    loss: Loss = functional.cross_entropy
    memory: dict[str, Tensor] = field(default_factory=dict)

    def labelled(self, criterion: str) -> list[tuple[Tensor, Tensor]]:
        """Returns the batches, each on its weights' device.

        Raises:
            InvalidInput: the pruner was given none, or none came.
        """
        if self.batches is None:
            raise InvalidInput(f"{criterion} measures on data: give the pruner batches=, a function that returns them")
        device = next(iter(self.model.parameters())).device
        found = [(images.to(device), labels.to(device)) for images, labels in self.batches()]
        if not found:
            raise InvalidInput(f"{criterion} measures on data, but batches() gave none")
        return found


# A criterion returns by name of each weight how much it is worth, more being better: a tensor of the weight's
# shape, or (rows,) where whole filters are scored (dimension 0). Scores are finite. A criterion that learns from
# every step also has `observe(context)`, which the pruner calls after the optimizer's step, before gradients are
# cleared.
Criterion = Callable[[PruneContext], Mapping[str, Tensor]]
