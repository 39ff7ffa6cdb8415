"""The journal: one append-only file that holds a study and survives a kill at any moment."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from ofa.errors import InvalidInput
from search.candidates.optuna_internals import BaseJournalFileLock
from search.run.file_lock import can_lock, held_now, owner_text, take
from search.study.journal_chain import (
    LONGEST_LINE,
    START,
    BrokenSeal,
    check_head,
    damaged,
    read_line,
    seal_at,
    sealed_line,
    write_head,
)
from search.study.journal_records import check_record

FIRST_BYTES = b'{"op_code":'
OF_TRIAL = (7, 8, 9)  # a step or an attribute of a trial, which the line of its end follows
OF_TRIAL_BYTES = tuple(FIRST_BYTES + str(code).encode() + b"," for code in OF_TRIAL)
LASTING = (0, 4, 6)  # new study, new trial, state of a trial: what must be on disk before the search continues


class Journal(JournalFileBackend):
    """Optuna's journal file, with a torn last line cut off, a lock that dies with its owner, sealed
    lines (see `search.study.journal_chain`), and fewer flushes.

    Optuna's own reader ignores a torn last line, but its next append would complete it to garbage that no
    reader can skip; its lock files outlive a kill. Only the lines in `LASTING` wait for the disk, and flush the earlier
    ones of the same file too. The end of a trial is one append of several lines, the last of which has its state: where
    a power cut leaves some of them, they are cut off too, so that a trial is as it was claimed or as it ended.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = journal_lock(path)
        lock.acquire()
        try:
            if path.exists() and not path.is_file():  # opening a pipe would block
                raise InvalidInput(f"{path} is not a file")
            check_head(path)
            cut_torn_line(path)
            check_head(path)  # a torn line that was finished is lost too
            super().__init__(str(path), lock_obj=lock)
        finally:
            lock.release()
        self._reached = (0, 0, START)  # records read so far, their bytes and the last seal

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yields the records from that number on, each checked against its seal.

        Raises:
            InvalidInput: a line is damaged; names the first one.
        """
        number, position, seal = self._reached if self._reached[0] <= log_number_from else (0, 0, START)
        with open(self._file_path, "rb") as file:
            file.seek(position)
            while (line := file.readline(LONGEST_LINE)).endswith(b"\n"):
                try:
                    record, seal = read_line(line, seal)
                    check_record(record)
                except ValueError as error:
                    raise InvalidInput(damaged(self._file_path, f"at line {number + 1}: {error}")) from None
                number, position = number + 1, position + len(line)
                self._reached = number, position, seal
                if number > log_number_from:
                    yield record
            if len(line) == LONGEST_LINE:
                raise InvalidInput(damaged(self._file_path, f"at line {number + 1}: it is too long"))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends records, one per line, in one write, after cutting off what a killed worker left unfinished."""
        path, lines = Path(self._file_path), b""
        self._lock.acquire()
        try:
            with open(path, "a+b", buffering=0) as file:
                _cut_unfinished(file)
                size = file.seek(0, os.SEEK_END)
                seal = seal_at(file, size)
                for log in logs:
                    line, seal = sealed_line(log, seal)
                    lines += line
                _write_whole(file, lines, self._file_path)
                if any(log["op_code"] in LASTING for log in logs):
                    os.fsync(file.fileno())
                    write_head(path, size + len(lines), seal)
        except BrokenSeal as error:
            raise InvalidInput(damaged(path, f"at its end: {error}")) from None
        finally:
            self._lock.release()


def open_journal(path: Path) -> JournalStorage:
    """Returns the storage kept in the file at `path`, which is created if missing.

    Raises:
        InvalidInput: a line before the last is damaged, or the file is not a journal.
    """
    try:
        return JournalStorage(Journal(path))
    except InvalidInput:
        raise
    except (ValueError, LookupError, TypeError, AssertionError, AttributeError, ArithmeticError) as error:
        # Each line is intact, but together they do not form a study.
        raise InvalidInput(damaged(path, f"({type(error).__name__}: {error})")) from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be opened ({error.strerror})") from None


def cut_torn_line(path: Path) -> int:
    """Returns how many bytes of an unfinished last line, or end of a trial, were cut off the file (0 if it is whole).

    Raises:
        InvalidInput: the file is not a journal; it is not changed.
    """
    if not path.exists():
        return 0
    with open(path, "r+b") as file:
        start = file.read(len(FIRST_BYTES))
        if start != FIRST_BYTES[: len(start)]:
            raise InvalidInput(f"{path} is not a study's journal: it begins with {start!r}")
        size = file.seek(0, os.SEEK_END)
        whole = _end_of_last_trial(file, _end_of_last_line(file, size))
        if whole < size:
            file.truncate(whole)
            os.fsync(file.fileno())
    return size - whole


def _write_whole(file: BinaryIO, lines: bytes, path: str) -> None:
    """Writes all of `lines`, or none: a full disk takes the beginning without an error."""
    size, rest = file.seek(0, os.SEEK_END), memoryview(lines)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        with suppress(OSError):
            file.truncate(size)
        raise OSError(error.errno, error.strerror, path) from None


def _cut_unfinished(file: BinaryIO) -> None:
    """Cuts off a last line without an end: an append would complete it to garbage for every worker."""
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
    if end == len(tail) and end:  # it ends, but a power cut may have damaged it
        start = tail.rfind(b"\n", 0, end - 1) + 1
        try:
            json.loads(tail[start:end])
        except (ValueError, RecursionError):
            end = start
    return tail_start + end


def _end_of_last_trial(file: BinaryIO, end: int) -> int:
    """Where the lines of the last trial that was claimed or ended stop, looking back from a line that ends at `end`."""
    start = max(0, end - (1 << 24))
    file.seek(start)
    tail = file.read(end - start)
    while (begin := tail.rfind(b"\n", 0, len(tail) - 1) + 1) and tail.startswith(OF_TRIAL_BYTES, begin):
        tail = tail[:begin]
    return start + len(tail)


class _FileLock(BaseJournalFileLock):
    """An exclusive lock that the operating system drops when its owner dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        self._descriptor = take(self._path)
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def journal_lock(path: Path) -> BaseJournalFileLock:
    """Returns the lock that appends to the journal at `path` take."""
    if not can_lock():
        return JournalFileOpenLock(str(path))  # an exclusive file, taken over when its owner has been gone for 30 s
    return _FileLock(path.with_name(f"{path.name}.lock"))


@contextmanager
def only_driver(path: Path, study: str) -> Iterator[None]:
    """Holds one study of the journal at `path` for this process: two drivers would both continue it.

    Raises:
        InvalidInput: another process drives it now.
    """
    lock = path.with_name(f"{path.name}.{hashlib.sha256(study.encode()).hexdigest()[:8]}.driver")
    with held_now(lock, keep=True) as free:
        if not free:
            raise InvalidInput(
                f"study {study!r} in {path} is being searched by {owner_text(lock)}; wait for it, or use another name"
            )
        yield
