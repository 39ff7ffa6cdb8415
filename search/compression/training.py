"""Training as a stage of a compression: under masks that hold, from targets and from the network as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from ofa.errors import InvalidInput, is_number, is_whole
from ofa.prune import Pruner
from ofa.prune.masking import Masking
from ofa.train import Distillation, Event, MakePruner, TrainSettings, train_network
from ofa.train.loop import Callback
from ofa.train.state import TrainState
from search.compression.compressed import StageContext
from search.pruning.job import with_rate
from search.training.trained import showing


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
