"""The journal: one file that holds a study, appended to only, and whole again after a kill at any moment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.study import Study
from optuna.trial import FrozenTrial

from ofa.errors import InvalidInput
from search.worker_locks import is_dead, lock_path, locked, locked_now

try:
    import fcntl
except ImportError:  # Windows: an exclusive file instead, taken over when its owner has been gone for 30 s
    fcntl = None  # type: ignore[assignment]

FIRST_BYTES = b'{"op_code":'
LASTING = (0, 4, 6)  # new study, new trial, state of a trial: what must be on the disk before we go on


class Journal(JournalFileBackend):
    """Optuna's journal file, with a torn last line cut off, a lock that dies with its owner, and fewer
    flushes.

    Optuna's own reader ignores a torn last line, but its next append would complete it to garbage that no
    reader gets past; its lock files outlive a kill. A trial of 45 parameters is some 60 appends: only those
    in `LASTING` wait for the disk, and they take the earlier ones of the same file with them. A killed
    process loses nothing either way, a power cut at most the unfinished trial.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = journal_lock(path)
        lock.acquire()
        try:
            cut_torn_line(path)
            super().__init__(str(path), lock_obj=lock)
        finally:
            lock.release()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends records, each a line, in one write, after what a worker killed in its own write has left."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        self._lock.acquire()
        try:
            with open(self._file_path, "a+b", buffering=0) as file:
                _cut_unfinished(file)
                file.write(lines)
                if any(log["op_code"] in LASTING for log in logs):
                    os.fsync(file.fileno())
        finally:
            self._lock.release()


def open_journal(path: Path) -> JournalStorage:
    """Returns the storage kept in the file at `path`, which is made when missing.

    Raises:
        InvalidInput: a line before the last is damaged, or the file is no journal.
    """
    try:
        return JournalStorage(Journal(path))
    except InvalidInput:
        raise
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise InvalidInput(
            f"{path} is damaged{_first_bad_line(path)} ({type(error).__name__}: {error}); "
            f"restore it, or delete it to start the study anew"
        ) from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be opened ({error.strerror})") from None


def cut_torn_line(path: Path) -> int:
    """Returns how many bytes of an unfinished last line were cut off the file (0 where it is whole).

    Raises:
        InvalidInput: the file is something else, and is left alone.
    """
    if not path.exists():
        return 0
    with open(path, "r+b") as file:
        start = file.read(len(FIRST_BYTES))
        if start != FIRST_BYTES[: len(start)]:
            raise InvalidInput(f"{path} is not a study's journal: it begins with {start!r}")
        size = file.seek(0, os.SEEK_END)
        whole = _end_of_last_line(file, size)
        if whole < size:
            file.truncate(whole)
            os.fsync(file.fileno())
    return size - whole


def _cut_unfinished(file: BinaryIO) -> None:
    """Cuts off a last line without an end: what is appended would complete it to garbage for every worker."""
    size = file.seek(0, os.SEEK_END)
    if size:
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.truncate(_end_of_last_line(file, size))


def _end_of_last_line(file: BinaryIO, size: int) -> int:
    """Where the last line that ends and parses stops; only the very last line may be torn."""
    tail_start = max(0, size - (1 << 20))
    file.seek(tail_start)
    tail = file.read()
    end = tail.rfind(b"\n") + 1
    if end == len(tail) and end:  # it ends, but may hold what a power cut left
        start = tail.rfind(b"\n", 0, end - 1) + 1
        try:
            json.loads(tail[start:end])
        except (json.JSONDecodeError, UnicodeDecodeError):
            end = start
    return tail_start + end


def _first_bad_line(path: Path) -> str:
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                json.loads(line)
            except ValueError:
                return f" at line {number}"
    return ""


class _FileLock(BaseJournalFileLock):
    """An exclusive lock that the operating system drops when its owner dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def journal_lock(path: Path) -> BaseJournalFileLock:
    """Returns the lock that appends to the journal at `path` take."""
    if fcntl is None:
        return JournalFileOpenLock(str(path))
    return _FileLock(path.with_name(f"{path.name}.lock"))


@dataclass(frozen=True)
class SharedJournal:
    """A journal as the workers of one study share it, on one machine or on a disk whose locks hold for all."""

    path: Path
    study: str
    storage: JournalStorage

    def alone(self) -> AbstractContextManager[None]:
        """Refuses a second call on the same study."""
        return only_runner(self.path, self.study)

    def claiming(self) -> AbstractContextManager[None]:
        """Holds the study for the next proposal."""
        return locked(lock_path(self.path, self.study, "claim"))

    def working(self, study: Study, trial_id: int) -> AbstractContextManager[None]:
        """Nothing: the lock of a worker shows that it lives."""
        return nullcontext()

    def is_dead(self, study: Study, trial: FrozenTrial, worker: str) -> bool:
        """Whether the lock of a worker is free, or is not there any more."""
        return is_dead(self.path, self.study, worker) is not False


def open_shared_journal(path: Path, study: str) -> SharedJournal:
    """Returns one study of the journal at `path`, as `open_journal`."""
    return SharedJournal(path, study, open_journal(path))


@contextmanager
def only_runner(path: Path, study: str) -> Iterator[None]:
    """Holds one study of the journal at `path` for this process: two runners would both continue it.

    Raises:
        InvalidInput: another process runs it now.
    """
    with locked_now(lock_path(path, study, "runner")) as free:
        if not free:
            raise InvalidInput(
                f"study {study!r} in {path} is being searched by another process; wait for it, or use another name"
            )
        yield
