"""The stage `prune`: weights removed, at once or little by little while the network trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, is_number
from ofa.prune import Cubic, Pruner
from ofa.prune.allocation import global_
from ofa.prune.context import Allocation, Batches, Criterion
from ofa.prune.criteria import magnitude
from ofa.prune.times import resolved
from ofa.prune.weights import prunable_weights
from ofa.train.teacher_batches import scoring_batches
from search.compression.compressed import Compressed, StageContext, partial_masks
from search.compression.training import finished_masks, stage_settings, train_stage

CUBIC = Cubic(0.5, begin=0.0, end=0.7, every=0.01)  # its times; each stage has its own final sparsity


def prune(
    compressed: Compressed,
    context: StageContext,
    *,
    sparsity: float,
    epochs: int | None = None,
    learning_rate: float = 1.0,
    criterion: Criterion = magnitude,
    allocation: Allocation = global_,
    keep: Sequence[str] = (),
) -> Compressed:
    """Returns the network with `sparsity` of its weights removed; what was removed before stays so.

    Source: gradually, Zhu and Gupta 2017, 1710.01878; of the smallest magnitude, Han et al. 2015, 1506.02626.

    Args:
        sparsity: the fraction of the weights of 2 or more dimensions that is removed in the end.
        epochs: of the training in which they go; 0: at once, without training; None: as in `finetune`.
        learning_rate: as a multiple of that of `finetune`.
        criterion: what a weight is worth, see `ofa.prune.criteria`.
        allocation: how many each layer keeps, see `ofa.prune.allocation`.
        keep: globs of layers that stay whole.

    Raises:
        InvalidInput: a sparsity out of range, less than was removed before, or weights that are shared already.
    """
    if not is_number(sparsity) or not 0 < sparsity < 1:
        raise InvalidInput(f"sparsity={sparsity!r} of the stage prune must be more than 0 and less than 1")
    if compressed.sharing is not None:
        raise InvalidInput("the stage prune comes before share: shared weights would be removed together")
    settings = stage_settings(context, epochs, learning_rate)
    after, trains = compressed.copied(), bool(settings.epochs) and not context.rehearsal

    def make_pruner(
        model: nn.Module, optimizer: torch.optim.Optimizer | None, total_steps: int, batches: Batches
    ) -> Pruner:
        gradual = (
            resolved(replace(CUBIC, final=sparsity), total_steps, total_steps // settings.epochs) if trains else None
        )
        pruner = Pruner(
            model,
            optimizer,
            schedule=gradual,
            criterion=criterion,
            allocation=allocation,
            batches=batches,
            keep=keep,
            seed=settings.seed,
            task=context.task,
        )
        _begin(pruner, after.masks, sparsity)
        return pruner

    if trains:
        masks = train_stage(after.network, context, settings, masks=_others(after, keep), prune=make_pruner)
    else:
        split = context.data.train
        batches = scoring_batches(split, settings.batch_size, settings.scoring, settings.seed)
        pruner = make_pruner(after.network, None, 1, batches)
        pruner.prune(sparsity)
        masks = finished_masks(pruner)
    return replace(after, masks={**after.masks, **partial_masks(masks)})


def _begin(pruner: Pruner, masks: Mapping[str, Tensor], sparsity: float) -> None:
    """Removes what was removed before."""
    if removed := {name: mask for name, mask in masks.items() if name in pruner.masks}:
        pruner.set_masks(removed)
    if 1 - pruner.density > sparsity:
        raise InvalidInput(
            f"sparsity={sparsity:g} of the stage prune: {1 - pruner.density:.4f} of the weights are removed already; "
            "give more, or leave the stage out"
        )


def _others(compressed: Compressed, keep: Sequence[str]) -> dict[str, Tensor]:
    """The masks that a pruner does not have: of biases, norms and layers that it keeps."""
    pruned = prunable_weights(compressed.network, keep)
    return {name: mask for name, mask in compressed.masks.items() if name not in pruned}
