"""Locks of a study's workers: files that the operating system lets go when their owner dies, however it dies."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: no such lock, so one worker alone has a journal, and heartbeats say who lives
    fcntl = None  # type: ignore[assignment]

CAN_LOCK = fcntl is not None


def lock_path(journal: Path, study: str, kind: str) -> Path:
    """Returns the path of a lock of one study, beside its journal."""
    return journal.with_name(f"{journal.name}.{hashlib.sha256(study.encode()).hexdigest()[:8]}.{kind}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock at `path` for this process alone, after waiting for it."""
    if not CAN_LOCK:
        yield
        return
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked_now(path: Path) -> Iterator[bool]:
    """Holds the lock at `path` where it is free; gives False where another process has it."""
    if not CAN_LOCK:
        yield True
        return
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except BlockingIOError:
            free = False
        yield free
    finally:
        os.close(descriptor)


@contextmanager
def worker_lock(journal: Path, study: str) -> Iterator[str]:
    """Gives a worker its name, and holds the lock of that name for as long as it works."""
    name = f"{os.getpid()}-{secrets.token_hex(4)}"
    path = lock_path(journal, study, f"{name}.worker")
    with locked(path):
        yield name
        path.unlink(missing_ok=True)


def is_dead(journal: Path, study: str, worker: str) -> bool | None:
    """Returns whether a worker is gone, by its lock; None where it has none here: gone, or of another machine."""
    path = lock_path(journal, study, f"{worker}.worker")
    if not CAN_LOCK or not path.exists():
        return None
    with locked_now(path) as free:
        return free


def forget_worker(journal: Path, study: str, worker: str) -> None:
    """Removes what a worker that is gone left behind."""
    lock_path(journal, study, f"{worker}.worker").unlink(missing_ok=True)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
