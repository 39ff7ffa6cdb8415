"""Locks between the processes of one run, so that jobs side by side neither disturb a measurement nor mix files.

A lock is a file that the operating system lets go when its owner dies, however it dies. Who holds one alone removes
the file in the end; who waited for a removed file sees that and takes the new one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search.paths import RunFolder
from search.progress import say

try:
    import fcntl
except ImportError:  # Windows: nothing is held there, and jobs have to run one after the other
    fcntl = None  # type: ignore[assignment]

WAITS = "search: another job measures on this machine; waiting to evaluate"
QUIET_SECONDS = 1.0  # of waiting, before it is said
STEP_SECONDS = 0.02


@contextmanager
def only_one(path: Path, waits: str) -> Iterator[None]:
    """Holds the lock at `path` for this process alone; where that takes a while, says `waits` and waits."""
    if fcntl is None:
        yield
        return
    descriptor = _take(path, fcntl.LOCK_EX, waits)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: see above
        os.close(descriptor)
        with suppress(OSError):
            path.parent.rmdir()  # where it was made for the lock alone


@contextmanager
def measuring(run: RunFolder, waits: str) -> Iterator[None]:
    """Holds this machine for a measurement: no other job of the run measures or evaluates here meanwhile."""
    with only_one(run.measuring_next, waits), only_one(run.measuring, waits):
        yield


@contextmanager
def evaluating(run: RunFolder, waits: str) -> Iterator[None]:
    """Keeps measurements on this machine waiting for as long as a candidate is evaluated, or waits for one.

    Jobs evaluate side by side. One that wants to measure holds `measuring_next`, so that no new evaluation gets in
    before it: it waits for those that run, not for a moment in which none does.
    """
    if fcntl is None:
        yield
        return
    gate = _take(run.measuring_next, fcntl.LOCK_SH, waits)
    try:
        descriptor = _take(run.measuring, fcntl.LOCK_SH, waits)
    finally:
        os.close(gate)
    try:
        yield
    finally:
        os.close(descriptor)


def _take(path: Path, operation: int, waits: str) -> int:
    """Returns a descriptor of the file at `path` that holds it."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # the folder went with the last lock in it
            continue
        try:
            _wait(descriptor, operation, waits)
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _wait(descriptor: int, operation: int, waits: str) -> None:
    end = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < end:
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(STEP_SECONDS)
    say(waits)
    fcntl.flock(descriptor, operation)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
