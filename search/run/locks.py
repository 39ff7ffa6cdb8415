"""Locks between the jobs of one run: around measurements, and around a stage's output (`claimed`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ofa.errors import InvalidInput
from ofa.paths import private_copy
from ofa.processes import processes
from search.run.file_lock import can_lock, held, held_now, is_free, owner_text, take
from search.run.paths import RunFolder
from search.run.stages import Stage, finish_replacing, is_needed, was_cut_off_replacing, written

WAITS = "search: another job measures on this machine; waiting to evaluate"


@contextmanager
def only_one(path: Path, waits: str) -> Iterator[None]:
    """Holds the lock at `path` for this process alone; prints `waits` if it has to wait for long."""
    with held(path, waits):
        yield


@contextmanager
def measuring(run: RunFolder, waits: str) -> Iterator[None]:
    """Holds this machine for a measurement: no other job of the run measures or evaluates here meanwhile."""
    with only_one(run.measuring_next, waits), only_one(run.measuring, waits):
        yield


@contextmanager
def evaluating(run: RunFolder, waits: str) -> Iterator[None]:
    """Evaluates a candidate with no measurement running: waits for a running one, and new ones wait for this.

    Jobs evaluate in parallel. A job that wants to measure holds `measuring_next`, so that no new evaluation starts
    before it: it waits for the running evaluations, not for a moment in which none happens to run.
    """
    if not can_lock():
        yield
        return
    gate = take(run.measuring_next, waits, shared=True)
    try:
        descriptor = take(run.measuring, waits, shared=True)
    finally:
        os.close(gate)
    try:
        yield
    finally:
        os.close(descriptor)


BEING = {  # what a running stage does to its output, by name of the stage
    "train": "trained",
    "dense": "trained",
    "profile": "measured",
    "search": "searched",
    "extract": "extracted",
    "compare": "compared",
    "prune": "pruned",
    "compress": "compressed",
}


def lock_of(output: Path) -> Path:
    """Returns the path of the lock of a stage's output (folder or JSON file): beside it, so the output can be moved."""
    name = output.stem if output.suffix == ".json" else output.name
    return output.with_name(f"{name}.lock")


@contextmanager
def claimed(requested: Stage | Callable[[], Stage], *, force: bool = False, waits: bool = False) -> Iterator[bool]:
    """Yields whether a stage has to run (see `is_needed`), and locks its output for this process if so.

    A complete output is not locked: anyone may read it. The block writes the stage with `search.run.stages.written`.

    Args:
        requested: the stage, or a function that makes it; called again after a wait, as other jobs may change it.
        force: as in `is_needed`.
        waits: wait for another process that writes the output, then use its result; otherwise that is an error. Waiting
            suits an output that several jobs need and one of them makes; starting a running stage twice is a mistake.

    Of processes that train together the first one claims the stage for all.

    Raises:
        InvalidInput: as in `is_needed`; or another process is writing the output.
    """
    with ExitStack() as stack:
        claim = _claimed(requested, force=force, waits=waits)
        yield processes().from_first(lambda: stack.enter_context(claim))


@contextmanager
def _claimed(requested: Stage | Callable[[], Stage], *, force: bool, waits: bool) -> Iterator[bool]:
    stage = requested if isinstance(requested, Stage) else requested()
    lock = lock_of(stage.output)
    being = BEING.get(stage.name, "written")
    if not force and was_cut_off_replacing(stage.output):
        with held_now(lock, patience=0) as free:  # if not free, its writer is alive and will finish it
            if free:
                finish_replacing(stage.output)
    try:
        needed = is_needed(stage, force=force)
    except InvalidInput:
        if not is_free(lock):  # another process is writing it: that matters more than a mismatch
            raise InvalidInput(_taken(stage, lock, being)) from None
        raise
    if not needed:
        yield False
    elif waits:
        with held(lock, f"{stage.name}: {stage.output} is being {being} by {{owner}}; waiting"):
            yield is_needed(requested if isinstance(requested, Stage) else requested(), force=force)
    else:
        with held_now(lock) as free:
            if not free:
                raise InvalidInput(_taken(stage, lock, being))
            yield is_needed(stage, force=force)  # checked again: another process may just have finished it


@contextmanager
def written_by_first(stage: Stage, *, force: bool = False) -> Iterator[Path]:
    """Yields the path to write a stage's output to, see `written`; of processes that train together the first's counts.

    Each other one gets a copy of what is there, for itself, and all leave the block when the output is complete.
    """
    group = processes()
    with ExitStack() as stack:
        target = group.from_first(lambda: stack.enter_context(written(stage, force=force)))
        if not group.is_first:
            target = stack.enter_context(private_copy(target))
        group.wait()
        yield target
    group.wait()


def _taken(stage: Stage, lock: Path, being: str) -> str:
    return f"{stage.output} is being {being} by {owner_text(lock)}: wait for it, or use {stage.beside}"
