"""Training of a supernet by a strategy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ofa.data import Dataset, shared_batches
from ofa.identity import digest_of
from ofa.processes import processes
from ofa.task import Batch, Task, classification
from ofa.train.callbacks import supernet_scores, validation
from ofa.train.checkpoints import Checkpoint, run_from_checkpoint
from ofa.train.compiled import CompiledViews, often_trained
from ofa.train.early_stop import EarlyStop
from ofa.train.first_batch import check_first_batch
from ofa.train.layer_rates import layer_rates
from ofa.train.loop import Callback
from ofa.train.own_batches import batches_per_step, drops_last, epoch_steps, passes
from ofa.train.rate_test import found_rate, with_rate
from ofa.train.recomputing import recomputed_view
from ofa.train.saved_state import training_record
from ofa.train.settings import TrainSettings, check_device
from ofa.train.state import History, new_state
from ofa.train.step import StepContext, Strategy, training_view
from ofa.train.teachers import Teacher, Teaching, as_teacher
from ofa.train.together import check_alike

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def train(
    supernet: Supernet,
    data: Dataset,
    strategy: Strategy,
    settings: TrainSettings,
    *,
    task: Task | None = None,
    teacher: nn.Module | Teacher | None = None,
    checkpoint: Path | str | None = None,
    callbacks: Sequence[Callback] = (),
) -> History:
    """Returns one row per epoch (see `History`), after training `supernet.model` in place.

    Where `settings.validate_every` says, the rows have the `scores` of the largest and the smallest subnet on the
    validation split. Norm statistics of the supernet stay untouched: `calibrate` each subnet.

    Where `torch.distributed` is initialized, all processes of the group train together: each calls this with the same
    arguments, learns its rows of every batch and ends with the same weights; the first writes the checkpoint.

    Args:
        strategy: which subnets learn in a step, and from what: `sandwich`, `progressive` or `single`.
        task: the losses, the metrics and the check of outputs; `ofa.task.classification` of the data if None.
        teacher: a frozen network that the networks of a step learn from in place of the largest, as the strategy says;
            its outputs are computed once where images are not augmented, see `Teacher`.
        checkpoint: a file that is written as `settings` say and at the end. If it exists, training resumes from it
            and ends with the same bits as if it had never stopped.
        callbacks: yours, called in this order after validation and before the checkpoint is written. For instance
            `progress_rows(print)`; see `ofa.train.callbacks` for how to write one.

    Raises:
        InvalidInput: a checkpoint that is damaged or of another training (it is left as it is), outputs or targets
            of the first batch that do not fit the task, a teacher of other outputs, or a loss that is not finite, by
            step.
    """
    check_device(settings.device)
    count = batches_per_step(data.train, settings)
    task = classification(data) if task is None else task
    group = processes()
    decay = settings.layer_decay
    rates = (
        None
        if decay is None
        else layer_rates(supernet.model.to(settings.device), supernet.inputs.to(settings.device).call, decay)
    )
    stop = None if settings.patience is None else EarlyStop(task.objective, settings.patience)
    made_state = partial(
        new_state,
        supernet.model,
        steps_per_epoch=epoch_steps(data.train, settings),
        whole_network=lambda: supernet.subnet(supernet.space.largest),
        task=task,
        held_gradients=True,  # views of the model accumulate into them
        average_buffers=False,
        rates=rates,
    )
    state = made_state(with_rate(settings))
    data = data.to(state.device)
    taught_by = None if teacher is None else as_teacher(teacher, supernet.model, state.device)
    digest = None if taught_by is None else digest_of(taught_by.network)
    others = {"space": supernet.space.digest, "strategy": strategy, "teacher": digest}
    record = training_record(supernet.model, data, task, settings, others)
    check_alike(record, group)
    file = None if checkpoint is None else Checkpoint(Path(checkpoint), record, settings)

    views = CompiledViews(often_trained(supernet.space)) if settings.compile else training_view
    views = recomputed_view if settings.checkpoint_gradients else views

    def step(batch: Batch, context: StepContext) -> Tensor:
        return strategy(supernet, batch, replace(context, view=views, batches=count))

    def pass_batches(number: int, start: int, size: int) -> Iterator[Any]:
        return shared_batches(
            data.train,
            size,
            group,
            seed=settings.seed,
            epoch=number,
            start=start,
            device=state.device,
            augment=settings.augment,
            drop_last=drops_last(data.train, settings),
        )

    def taught_batches(number: int, start: int) -> Iterator[Any]:
        made = pass_batches(number, start, count * settings.batch_size)
        return made if teaching is None else teaching.taught(made, number, start)

    def epoch_batches(epoch: int, start: int) -> Iterator[Any]:
        return passes(taught_batches, data.train, settings, epoch, start)

    def measure() -> Mapping[str, Mapping[str, float]]:
        ends = {"largest": supernet.space.largest, "smallest": supernet.space.smallest}
        own = dict(list(ends.items())[group.rank :: group.count])
        by_name = group.merged(lambda: supernet_scores(supernet, data, task, settings.calibration_images, own))
        return {name: by_name[name] for name in ends}

    largest = supernet.subnet(supernet.space.largest)
    tried = pass_batches(0, 0, settings.batch_size)
    group.each(lambda: check_first_batch(task, largest, tried, state.device, taught_by))
    teaching = None
    if taught_by is not None:
        augmented = settings.augment is not None
        sizes = count * settings.batch_size, settings.seed
        teaching = Teaching(taught_by, task, data.train, *sizes, state.device, augmented, group)
    rate_callbacks = found_rate(step, epoch_batches, made_state, settings)
    callbacks = [*rate_callbacks, validation(measure, settings), *([] if stop is None else [stop]), *callbacks]
    history = run_from_checkpoint(step, epoch_batches, state, settings, callbacks, file)
    if stop is not None:
        stop.restore(supernet.model)
    return history
