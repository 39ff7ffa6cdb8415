"""Stages that train: `prune` and `finetune`, under masks that hold, from targets and from the network as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ofa.compress import sharing_of, with_codebooks, without_codebooks
from ofa.errors import InvalidInput, is_number, is_whole
from ofa.prune import Cubic, Pruner
from ofa.prune.allocation import global_
from ofa.prune.context import Allocation, Batches, Criterion
from ofa.prune.criteria import magnitude
from ofa.prune.masking import Masking
from ofa.prune.times import resolved
from ofa.prune.weights import prunable_weights
from ofa.train import Distillation, Event, MakePruner, TrainSettings, train_network
from ofa.train.loop import Callback
from ofa.train.state import TrainState
from ofa.train.teacher_batches import scoring_batches
from search.compression.compressed import Compressed, StageContext, partial_masks
from search.pruning.job import with_rate
from search.training.trained import showing

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


def finetune(
    compressed: Compressed, context: StageContext, *, epochs: int | None = None, learning_rate: float = 1.0
) -> Compressed:
    """Returns the network after training what is left of it: what is removed stays so, and what is shared too.

    Source: gradients of shared values are the sums of those of their weights, Han et al. 2016, 1510.00149, section 3.

    Args:
        epochs: None: those of `finetune`.
        learning_rate: as a multiple of that of `finetune`.

    Raises:
        InvalidInput: epochs or a rate out of range, or a loss that is not finite.
    """
    settings = stage_settings(context, epochs, learning_rate)
    if not settings.epochs or context.rehearsal:
        return compressed
    if compressed.sharing is None:
        after = compressed.copied()
        train_stage(after.network, context, settings, masks=after.masks)
        return after
    learner = with_codebooks(compressed.network, compressed.sharing)
    train_stage(learner, context, settings, masks=_unshared(compressed))
    return replace(compressed, network=without_codebooks(learner), sharing=sharing_of(learner))


def _unshared(compressed: Compressed) -> dict[str, Tensor]:
    """The masks of parameters without a codebook: those with one keep their zeros by themselves."""
    assert compressed.sharing is not None
    return {name: mask for name, mask in compressed.masks.items() if name not in compressed.sharing.tensors}


def stage_settings(context: StageContext, epochs: int | None, learning_rate: float) -> TrainSettings:
    """Returns the settings of a stage's training.

    Args:
        epochs: None: those of the group `finetune`.
        learning_rate: a multiple of that of the group `finetune`.

    Raises:
        InvalidInput: epochs that are no number of them, or a rate that is not above 0.
    """
    if epochs is not None and not is_whole(epochs, 0):
        raise InvalidInput(f"epochs={epochs!r} of a stage must be a whole number, at least 0; null: finetune.epochs")
    if not is_number(learning_rate) or learning_rate <= 0:
        raise InvalidInput(f"learning_rate={learning_rate!r} of a stage is a multiple and must be more than 0")
    settings = context.training
    return replace(
        settings,
        epochs=settings.epochs if epochs is None else epochs,
        optimizer=with_rate(settings.optimizer, learning_rate, "learning_rate of a stage", "the optimizer's lr"),
    )


def train_stage(
    network: nn.Module,
    context: StageContext,
    settings: TrainSettings,
    *,
    masks: Mapping[str, Tensor] | None = None,
    prune: MakePruner | None = None,
) -> dict[str, Tensor]:
    """Returns the pruner's masks (none without `prune`), after training `network` in place.

    Args:
        masks: what stays removed, of parameters that the pruner leaves alone.
    """
    held = Masking(network, masks) if masks else None
    taught = context.teacher is not None and context.distill > 0
    try:
        outcome = train_network(
            network,
            context.data,
            settings,
            task=context.task,
            prune=prune,
            distillation=Distillation(context.teacher, context.distill, context.temperature) if taught else None,  # type: ignore[arg-type]
            checkpoint=context.checkpoint,
            callbacks=[*([] if held is None else [_holding(held)]), showing(context.show)],
        )
    finally:
        if held is not None:
            held.apply()
            held.remove()
    return {} if outcome.pruner is None else finished_masks(outcome.pruner)


def finished_masks(pruner: Pruner) -> dict[str, Tensor]:
    """Returns a pruner's masks, bool by parameter name on the CPU; its network is plain again."""
    masks = {name: mask.to("cpu", copy=True) for name, mask in pruner.masks.items()}
    pruner.finalize()
    return masks


def _holding(masking: Masking) -> Callback:
    """A callback that zeroes what an optimizer moved, such as by momentum of earlier gradients."""

    def hold(event: Event, state: TrainState) -> None:
        if event is Event.UPDATE:
            masking.apply()

    return hold
