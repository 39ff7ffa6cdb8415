"""What criteria and allocations are given, and their types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput
from ofa.inputs import Example, Inputs, as_inputs, logits_of, map_tensors
from ofa.prune.granularity.pool import Coupled, Pool
from ofa.task import Batch, Task, as_batch

Batches: TypeAlias = Callable[[], Iterable[tuple[Example, Tensor]]]
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class PruneContext:
    """One event of pruning, as a criterion or a regrowth sees it.

    Attributes:
        model: the masked model, in train or eval mode; a criterion leaves mode, weights, gradients and
            buffers unchanged.
        weights: the parameters that may be pruned, by name.
        masks: bool, of the shape of each weight: what is alive now.
        generator: draws everything random; a CPU generator that belongs to the pruner.
        step: steps of the optimizer so far.
        batches: makes the labeled batches that scores are measured on: images (N, C, H, W), or any inputs of the model
            (see `ofa.Inputs`), and labels (N,).
        loss: (model output, labels) -> scalar, where there is no task.
        task: says how the model is called and what its loss is; None: `loss` of its logits.
        pieces: what is removed as one, where that reaches several tensors: a criterion may return `PieceScores` then.
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
    task: Task | None = None
    pieces: Coupled | None = None

    def labeled(self, criterion: str) -> list[tuple[Inputs, Any]]:
        """Returns the batches, each on its weights' device.

        Raises:
            InvalidInput: the pruner has none, or they are empty.
        """
        if self.batches is None:
            raise InvalidInput(f"{criterion} measures on data: give the pruner batches=, a function that returns them")
        device = next(iter(self.model.parameters())).device
        moved = [as_batch(value).to(device) for value in self.batches()]
        labeled_batches = [(as_inputs(batch.inputs), batch.targets) for batch in moved]
        if not labeled_batches:
            raise InvalidInput(f"{criterion} measures on data, but batches() gave none")
        return labeled_batches

    def batch_loss(self, inputs: Inputs, targets: Any, temperature: float = 1.0) -> Tensor:
        """Returns the mean loss of a batch, a scalar, the model's outputs divided by `temperature`."""
        if self.task is None:
            return self.loss(logits_of(inputs.call(self.model), self.model) / temperature, targets)
        batch = Batch(inputs, targets)
        outputs = self.task.call(self.model, batch)
        if temperature != 1:
            outputs = map_tensors(outputs, lambda leaf: leaf / temperature if leaf.is_floating_point() else leaf)
        return self.task.loss(outputs, batch)


# A criterion returns by name of each weight how much it is worth, more being better: a tensor of the weight's
# shape, or (rows,) where whole filters are scored (dimension 0); or `PieceScores` of `context.pieces`. Scores are
# finite. A criterion that learns from every step also has `observe(context)`, which the pruner calls after the
# optimizer's step, before gradients are cleared.
Criterion = Callable[[PruneContext], Mapping[str, Tensor]]


@dataclass(frozen=True)
class AllocationContext:
    """How much is to be removed now, and among what.

    Attributes:
        pools: see `Pool`.
        scores: of each piece, floating, on the CPU, (pieces,) per pool; -inf for a removed piece.
        sparsity: fraction to be removed by now, of all pieces, or of what the allocation counts instead.
        progress: how far the schedule is, 0 to 1; 1 at its final sparsity.
        cost: see `Granularity.cost`.
    """

    pools: Sequence[Pool]
    scores: Sequence[Tensor]
    sparsity: float
    progress: float
    cost: Callable[[Sequence[int]], Mapping[str, float]]


# An allocation returns how many pieces each pool keeps; the best by score are kept, ties by position.
Allocation = Callable[[AllocationContext], list[int]]
