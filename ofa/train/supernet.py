"""Training of a supernet by a strategy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from ofa.arch import Arch
from ofa.data import Dataset, batches, steps_per_epoch
from ofa.train.callbacks import accuracies, validation
from ofa.train.checkpoints import Checkpoint, run_from_checkpoint
from ofa.train.loop import Callback
from ofa.train.saved_state import training_record
from ofa.train.settings import TrainSettings
from ofa.train.state import History, new_state
from ofa.train.step import Batch, StepContext, Strategy

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def train(
    supernet: Supernet,
    data: Dataset,
    strategy: Strategy,
    settings: TrainSettings,
    *,
    checkpoint: Path | str | None = None,
    validate: Mapping[str, Arch] | None = None,
    calibration_images: int = 1024,
    callbacks: Sequence[Callback] = (),
) -> History:
    """Returns one row per epoch (see `History`), after training `supernet.model` in place.

    Args:
        strategy: which subnets learn in a step, and from what: `sandwich`, `progressive` or `single`.
        checkpoint: a file that is written as `settings` say and at the end. If it exists, training resumes from it
            and ends with the same bits as if it had never stopped.
        validate: Archs whose accuracy on the validation split is in the rows, as "accuracy_<name>", where
            `settings.validate_every` says; the largest and the smallest if None.
        calibration_images: training images that norm statistics are measured on for that. Those of the supernet stay
            untouched: `calibrate` each subnet.
        callbacks: yours, called in this order after validation and before the checkpoint is written. For instance
            `progress_rows(print)`; see `ofa.train.callbacks` for how to write one.

    Raises:
        InvalidInput: a checkpoint that is damaged or of another training (it is left as it is), or a loss that is
            not finite, by step.
    """
    state = new_state(
        supernet.model,
        settings,
        steps_per_epoch(data.train, settings.batch_size),
        whole_network=lambda: supernet.subnet(supernet.space.largest),
        held_gradients=True,  # views of the model accumulate into them
        average_buffers=False,
    )
    data = data.to(state.device)
    record = training_record(supernet.model, data, settings, {"space": supernet.space.digest, "strategy": strategy})
    file = None if checkpoint is None else Checkpoint(Path(checkpoint), record, settings)

    def step(batch: Batch, context: StepContext) -> Tensor:
        images, labels = batch
        assert images is not None and labels is not None
        return strategy(supernet, images, labels, context)

    def epoch_batches(epoch: int, start: int) -> Iterator[Batch]:
        return batches(
            data.train,
            settings.batch_size,
            seed=settings.seed,
            epoch=epoch,
            start=start,
            device=state.device,
            augment=settings.augment,
        )

    def measure() -> Mapping[str, float]:
        return accuracies(supernet, data, validate, calibration_images)

    callbacks = [validation(measure, settings), *callbacks]
    return run_from_checkpoint(step, epoch_batches, state, settings, callbacks, file)
