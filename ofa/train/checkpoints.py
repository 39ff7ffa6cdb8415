"""The checkpoint of a training: written in the background, seldom enough; resuming gives the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch import Tensor

from ofa.checkpoint import save_checkpoint
from ofa.processes import processes
from ofa.train.loop import Batches, Callback, Event, run
from ofa.train.pace import Pace
from ofa.train.saved_state import HasState, load_training, read_training, snapshot, stateful_parts
from ofa.train.settings import TrainSettings
from ofa.train.state import History, TrainState
from ofa.train.step import Step


class Checkpoint:
    """The checkpoint of a training: a callback that writes it when it is due and when the loop ends.

    A step is held up only by copying the tensors; a thread writes the copies. Meanwhile memory has two more times what
    the file has: weights, the optimizer's state, the average. By time, checkpoints are as far apart as `settings` say,
    and further where copying and writing them would take more than a twentieth of the time. An error of the thread is
    raised after the next step, or at the end if writing fails there too.

    Args:
        path: replaced atomically: a kill at any moment leaves the old file or the new one.
        recorded: see `training_record`; no training with another record resumes from the file.
        settings: say how often.
        writer: runs what writes; None for a thread of its own.
        clock: in seconds.

    Raises:
        InvalidInput: the file exists, and is damaged or of another training; it is left as it is.
    """

    def __init__(
        self,
        path: Path,
        recorded: dict[str, Any],
        settings: TrainSettings,
        *,
        writer: Executor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path, self._recorded = path, recorded
        self._steps = settings.checkpoint_steps
        self._content = read_training(path, recorded) if path.exists() else None
        self._parts: dict[str, HasState] = {}
        self._writer = writer or ThreadPoolExecutor(1, "checkpoint")
        self._clock = clock
        self._pace = Pace(settings.checkpoint_seconds, clock())
        self._writing: Future[tuple[float, float]] | None = None  # of the time that it took, and of its end
        self._being_saved: tuple[int, int] | None = None
        self._saved: tuple[int, int] | None = None

    def resume(self, state: TrainState, callbacks: Sequence[Callback]) -> None:
        """Puts what the file holds, if there is one, into the training and those of its callbacks that have state."""
        self._parts = stateful_parts(state, callbacks)
        if self._content is not None:
            load_training(self._content, state, self._parts)
            self._content = None
        self._saved = _reached(state)  # by an earlier process, or nothing is done yet
        self._pace.begin(self._clock())

    def __call__(self, event: Event, state: TrainState) -> None:
        """Writes the file if it is due; of several processes the first does."""
        if not processes().is_first:
            return
        if event is Event.STEP:
            if self._writing is not None and self._writing.done():
                self._collect()
            if self._steps is not None and state.step % self._steps == 0:
                self._collect()
                self._begin(state)
            elif self._writing is None and self._pace.is_due(self._clock()):
                self._begin(state)
        elif event is Event.END:
            self.wait()  # what failed in the background is tried once more
            if _reached(state) != self._saved:
                self._begin(state)
                self._collect()

    def wait(self) -> None:
        """Waits for the file that is being written, and raises no error."""
        if self._writing is not None and self._writing.exception() is None:
            self._collect()
        self._writing = None

    def close(self) -> None:
        """Waits for the file that is being written; none is written afterwards."""
        self.wait()
        self._writer.shutdown()

    def _begin(self, state: TrainState) -> None:
        """Copies what is to be written and hands it to the writer."""
        began = self._clock()
        state.read_losses()
        tensors, values = snapshot(state, self._recorded, self._parts)
        self._being_saved = _reached(state)
        self._writing = self._writer.submit(self._write, tensors, values, self._clock() - began)

    def _write(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any], copied: float) -> tuple[float, float]:
        """The seconds that copying and writing took, and when they ended."""
        began = self._clock()
        save_training(self.path, tensors, values)
        ended = self._clock()
        return copied + ended - began, ended

    def _collect(self) -> None:
        """Waits for what is being written, and raises its error."""
        if self._writing is None:
            return
        writing, self._writing = self._writing, None
        self._pace.ended(*writing.result())
        self._saved = self._being_saved


def save_training(path: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Writes what `snapshot` returned, atomically."""
    save_checkpoint(path, tensors, values)


def run_from_checkpoint(
    step: Step,
    batches: Batches,
    state: TrainState,
    settings: TrainSettings,
    callbacks: Sequence[Callback],
    checkpoint: Checkpoint | None,
) -> History:
    """Returns the history of a training that resumes from its checkpoint, if there is one.

    The model then holds the averaged weights where the settings ask for them; the checkpoint holds both.

    Raises:
        InvalidInput: a checkpoint that does not fit, or a loss that is not finite.
    """
    try:
        if checkpoint is not None:
            checkpoint.resume(state, callbacks)
            callbacks = [*callbacks, checkpoint]  # last, so that it has what the others changed
        history = run(step, batches, state, settings, callbacks)
    finally:
        if checkpoint is not None:
            checkpoint.close()
    if state.average is not None:
        state.average.put()
    return history


def _reached(state: TrainState) -> tuple[int, int]:
    """How far a training is: steps and rows."""
    return state.step, len(state.history)
