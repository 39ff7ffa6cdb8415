"""Checkpoints of weights that are sharded over processes: each writes its own part, in the background.

    checkpoint = ShardedCheckpoint("checkpoints", step, optimizer)
    for number in range(checkpoint.resume(), steps):
        ...
        optimizer.step(); optimizer.zero_grad()
        checkpoint.after(number + 1)
    checkpoint.close(steps)

Files are safetensors and a JSON record. `torch.distributed.checkpoint` writes and reads them by its storage for Hugging
Face; its usual one has a pickle beside the tensors, which would be run when it is read.
"""

from __future__ import annotations

import secrets
import time
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save, save

from ofa.processes import processes
from ofa.records import read_record
from ofa.train.pace import Pace
from ofa.train.shards import RECORD, ShardedRecord, ShardWriter, check_shards

_FLAT = StateDictOptions(flatten_optimizer_state_dict=True)
_MODEL, _OPTIMIZER = "model/", "optimizer/"


class ShardedCheckpoint:
    """Writes the shards of a module and its optimizer, and puts them back on any number of processes.

    A step waits while shards are copied to the CPU; threads write the copies, and one is written at a time; a process
    alone writes at once. They are so far apart that copying and writing take at most a twentieth of the time. A folder
    appears once it is whole; then the one before is removed.

    Args:
        folder: the same for all processes, on a disk that their machines share.
        step: the module that is sharded, such as a `ShardedStep`.
        seconds: between two checkpoints, at least; by the clock of the first process.
    """

    def __init__(
        self, folder: Path | str, step: nn.Module, optimizer: torch.optim.Optimizer, *, seconds: float = 600.0
    ) -> None:
        self._folder, self._step, self._optimizer = Path(folder), step, optimizer
        self._group = processes()
        self._threads = None if self._group.alone else torch.distributed.new_group(backend="gloo")
        self._pace = Pace(seconds, time.monotonic())
        self._writing: Future[Any] | None = None
        self._began = self._ended = 0.0  # of that
        self._saved = -1

    def resume(self) -> int:
        """Returns the number of steps that are done, after putting the newest checkpoint back; 0 where there is none.

        Raises:
            InvalidInput: a checkpoint that is damaged or of another model; nothing is changed then.
        """
        latest = max(self._folder.glob(f"step-*/{RECORD}"), default=None)
        latest = self._group.from_first(lambda: latest)
        if latest is None:
            return 0
        record = read_record(latest, ShardedRecord)
        tensors, values = self._state()
        check_shards(latest.parent, record, tensors, self._group)
        with _single_process() if self._group.alone else nullcontext():
            load(tensors, storage_reader=HuggingFaceStorageReader(str(latest.parent)), no_dist=self._group.alone)
        values = {name: _like(value, record.values.get(name, value)) for name, value in values.items()}
        set_model_state_dict(self._step, _under(_MODEL, tensors))
        set_optimizer_state_dict(self._step, self._optimizer, _under(_OPTIMIZER, {**tensors, **values}), options=_FLAT)
        self._saved = record.step
        return record.step

    def after(self, done: int) -> None:
        """Writes a checkpoint after so many steps, where one is due; an error of the one before is raised."""
        is_busy = self._writing is not None and not self._writing.done()
        is_due = self._group.is_first and self._pace.is_due(time.monotonic())
        busy, due = self._group.sums([is_busy, is_due])
        if not busy:
            self.wait()
            if due:
                self.save(done)

    def save(self, done: int) -> None:
        """Begins to write a checkpoint after so many steps, once the one before is written."""
        self.wait()
        self._began = time.monotonic()
        tensors, values = self._state()
        token = self._group.from_first(lambda: secrets.token_hex(8))
        writer = ShardWriter(self._folder / f"step-{done:012d}", token, done, values)
        if self._group.alone:
            with _single_process(), _first_failure():
                save(tensors, storage_writer=writer, no_dist=True)
            self._pace.ended(time.monotonic() - self._began, time.monotonic())
        else:
            writing = async_save(tensors, storage_writer=writer, process_group=self._threads)
            assert isinstance(writing, Future)
            writing.add_done_callback(self._note_end)
            self._writing = writing
        self._saved = done

    def wait(self) -> None:
        """Waits for what is being written, and raises its error."""
        writing, self._writing = self._writing, None
        if writing is not None:
            with _first_failure():
                writing.result()
            self._pace.ended(self._ended - self._began, self._ended)

    def _note_end(self, _: Any) -> None:
        self._ended = time.monotonic()

    def close(self, done: int) -> None:
        """Returns after a checkpoint of the last step is written."""
        if done != self._saved:
            self.save(done)
        self.wait()

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """All tensors of module and optimizer by name, and the values beside them."""
        every: dict[str, Any] = {f"{_MODEL}{name}": value for name, value in get_model_state_dict(self._step).items()}
        optimizer = get_optimizer_state_dict(self._step, self._optimizer, options=_FLAT)
        every |= {f"{_OPTIMIZER}{name}": value for name, value in optimizer.items()}
        tensors = {name: value for name, value in every.items() if isinstance(value, Tensor)}
        return tensors, {name: value for name, value in every.items() if name not in tensors}


@contextmanager
def _first_failure() -> Iterator[None]:
    """Raises what failed in the first process that failed, in place of an error that no `except Exception` catches."""
    try:
        yield
    except CheckpointException as error:
        failure, _ = error.failures[min(error.failures)]
        raise failure from None


@contextmanager
def _single_process() -> Iterator[None]:
    """Keeps PyTorch from warning that there is no process group."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _like(value: Any, stored: Any) -> Any:
    """A stored value, as a tuple again where one is wanted."""
    return tuple(stored) if isinstance(value, tuple) and isinstance(stored, list | tuple) else stored


def _under(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
