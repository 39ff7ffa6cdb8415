"""File locks: held by one process or shared by several, released by the operating system when their owner dies.

A lock is a file, and a file that a dead owner left behind locks nothing: no lock is ever stale. An exclusive owner
removes the file at the end; a process that waited for a removed file notices and takes the new one. An owner writes its
identity into the file, for the processes that have to wait.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search.run.progress import say

try:
    import fcntl
except ImportError:  # Windows: no lock there ends with its owner, so nothing is held
    fcntl = None  # type: ignore[assignment]

QUIET_SECONDS = 1.0  # of waiting before a message or giving up: a lock held for a moment is not worth a message
LONGEST_OWNER = 300  # bytes of a pid and the name of a machine
STEP_SECONDS = 0.02


def can_lock() -> bool:
    """Whether this system has locks that end with their owner."""
    return fcntl is not None


@contextmanager
def held(path: Path, waits: str | None = None, *, shared: bool = False, keep: bool = False) -> Iterator[None]:
    """Holds the lock at `path` after waiting for it.

    Args:
        path: of the lock's file, created if missing.
        waits: message if waiting takes a while, with "{owner}" replaced by the lock's owner; None: no message.
        shared: hold the lock together with others that share it, instead of exclusively.
        keep: keep the file afterwards, for a lock that is taken often.
    """
    if not can_lock():
        yield
        return
    new_folders = _missing(path)
    descriptor = take(path, waits, shared=shared)
    try:
        if not shared and not keep:  # writing takes longer than locking
            _write_owner(descriptor)
        yield
    finally:
        _release(path, descriptor, new_folders, keep=keep)


@contextmanager
def held_now(path: Path, *, shared: bool = False, keep: bool = False, patience: float | None = None) -> Iterator[bool]:
    """Holds the lock at `path` if it is free; yields whether it is held, False where another process has it.

    `patience` is how many seconds to wait for it before giving up (`QUIET_SECONDS` where None).
    """
    if not can_lock():
        yield True
        return
    new_folders = _missing(path)
    descriptor = _take_within(path, _operation(shared), QUIET_SECONDS if patience is None else patience)
    if descriptor is None:
        yield False
        return
    try:
        if not shared:
            _write_owner(descriptor)
        yield True
    finally:
        _release(path, descriptor, new_folders, keep=keep)


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock at `path`; the lock is not changed."""
    if not can_lock() or not path.exists():
        return True
    descriptor = os.open(path, os.O_RDWR)
    try:
        return _try(descriptor, fcntl.LOCK_EX, path)
    finally:
        os.close(descriptor)


def owner_text(path: Path) -> str:
    """Returns who holds the lock at `path`, as "another process (pid 4711)", with the machine if it is another one."""
    end = time.monotonic() + QUIET_SECONDS
    while True:
        try:
            text = _begin_of(path)
            pid, _, host = text.decode("utf-8", "replace").strip().partition(" ")
        except OSError:
            return "another process"
        if pid.isdecimal() and f"{pid} {host}".isprintable():
            return f"another process (pid {pid}{f' on {host}' if host != platform.node() else ''})"
        if time.monotonic() > end:
            return "another process"
        time.sleep(STEP_SECONDS)  # taken just now: its owner is not written yet


def _begin_of(path: Path) -> bytes:
    """The first bytes of a lock's file, no more than an owner writes; does not wait if the path is a pipe."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        return os.read(descriptor, LONGEST_OWNER)
    finally:
        os.close(descriptor)


def take(path: Path, waits: str | None = None, *, shared: bool = False) -> int:
    """Returns a descriptor of the file at `path` that holds its lock until it is closed (see `held`)."""
    while True:
        descriptor = _open(path)
        try:
            _wait(descriptor, _operation(shared), path, waits)
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _release(path: Path, descriptor: int, new_folders: list[Path], *, keep: bool) -> None:
    """Releases a lock; removes its file, unless `keep` or others share it, and the folders made only for it."""
    if not keep and _try(descriptor, fcntl.LOCK_EX, path):
        path.unlink(missing_ok=True)  # while it is held, so that no one else owns the file at that moment
    os.close(descriptor)
    with suppress(OSError):  # a folder is not empty, so neither are its parents
        for folder in [] if keep else (new_folders or [path.parent]):
            folder.rmdir()


def _missing(path: Path) -> list[Path]:
    """The parent folders of `path` that do not exist yet, the innermost first."""
    return [folder for folder in path.parents if not folder.exists()]


def _take_within(path: Path, operation: int, seconds: float) -> int | None:
    """Returns a descriptor that holds the lock, None where another process held it for all of `seconds`."""
    end = time.monotonic() + seconds
    while True:
        descriptor = _open(path)
        try:
            if _try(descriptor, operation, path) and _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if time.monotonic() >= end:
            return None
        time.sleep(STEP_SECONDS)


def _operation(shared: bool) -> int:
    return fcntl.LOCK_SH if shared else fcntl.LOCK_EX


def _open(path: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        except FileNotFoundError:  # the folder went with the last lock in it
            continue


def _wait(descriptor: int, operation: int, path: Path, waits: str | None) -> None:
    end = time.monotonic() + QUIET_SECONDS
    while waits is not None and time.monotonic() < end:
        if _try(descriptor, operation, path):
            return
        time.sleep(STEP_SECONDS)
    if waits is not None:
        say(waits.replace("{owner}", owner_text(path)))
    with _named(path):
        fcntl.flock(descriptor, operation)


def _try(descriptor: int, operation: int, path: Path) -> bool:
    try:
        with _named(path):
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Adds the path to an error of the operating system: `flock` knows only a descriptor."""
    try:
        yield
    except BlockingIOError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _write_owner(descriptor: int) -> None:
    with suppress(OSError):  # a full disk: the lock works without it
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {platform.node()}\n".encode(), 0)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
