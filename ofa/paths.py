"""Files written whole or not at all, through temporary names that cannot be predicted."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows: what a dead writer left is not removed
    fcntl = None  # type: ignore[assignment]

Buffer = bytes | bytearray | memoryview

TEMPORARY = re.compile(r"\..+\.ofa-[0-9a-f]{16}\.tmp")  # the names that `temporary_name` returns, and no others
_ALONE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
UNLOCKABLE = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)  # of file systems without locks


def write_atomic(path: Path, *pieces: Buffer) -> None:
    """Writes `pieces` in turn so that a reader, or a kill at any moment, sees the old file or the new one."""
    with atomic_file(path) as file:
        for piece in pieces:
            file.write(piece)


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically; files that are read back are records (`ofa.records`)."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Gives a file to write to, which replaces `path` when the block succeeds and is removed otherwise.

    Leftovers of killed writers in the folder are removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    descriptor, temporary = _create(path)
    try:
        with os.fdopen(descriptor, "w+b") as file:  # the lock is held until the rename is done
            yield file
            file.flush()
            os.fsync(descriptor)
            if fcntl is not None:
                os.replace(temporary, path)
        if fcntl is None:  # Windows renames only closed files
            os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:  # an error of a full disk names no file, or the temporary one
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(final: Path) -> Iterator[Path]:
    """Gives a new folder beside `final`, to be filled and renamed; it is removed at the end if it was not renamed."""
    final.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(final.parent)
    descriptor, folder = _create_folder(final)
    try:
        yield folder
        sync_folder(final.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def temporary_name(path: Path) -> Path:
    """Returns a name beside `path` that cannot be predicted."""
    return path.with_name(f".{path.name}.ofa-{secrets.token_hex(8)}.tmp")


def remove_leftovers(folder: Path) -> list[Path]:
    """Returns the temporary files and folders of dead writers in `folder` after removing them.

    A writer holds a lock on what it writes, so one that can be locked has no writer any more. Only temporary names
    are considered, links are never followed, and files of other users stay.
    """
    if fcntl is None:
        return []
    try:
        with os.scandir(folder) as entries:
            names = [entry.path for entry in entries if TEMPORARY.fullmatch(entry.name) and not entry.is_symlink()]
    except OSError:
        return []
    return [path for path in map(Path, names) if _removed(path)]


def remove_leftovers_below(folder: Path) -> list[Path]:
    """Returns the leftovers of dead writers in `folder` and all folders in it, after removing them."""
    return [path for root, _, _ in os.walk(folder) for path in remove_leftovers(Path(root))]


def sync_folder(folder: Path) -> None:
    """Writes the names in a folder to the disk, so a rename survives a power cut, where the system supports it."""
    if fcntl is None:
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _create(path: Path) -> tuple[int, Path]:
    """A new locked file beside `path`: its descriptor and its name."""
    while True:
        temporary = temporary_name(path)
        # 0o666: the kernel applies the umask, as for any new file.
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | _ALONE, 0o666)
        if _claimed(descriptor, temporary):
            return descriptor, temporary
        os.close(descriptor)


def _create_folder(final: Path) -> tuple[int | None, Path]:
    """A new folder beside `final`, locked where a folder can be: its descriptor and its name."""
    while True:
        folder = temporary_name(final)
        folder.mkdir()
        if fcntl is None:
            return None, folder
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if _claimed(descriptor, folder):
            return descriptor, folder
        os.close(descriptor)


def _claimed(descriptor: int, path: Path) -> bool:
    """Whether a new file is locked and still there: another process may have removed it as a leftover."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in UNLOCKABLE:
            raise
        return True  # no other process can lock it either, so none removes it
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _removed(path: Path) -> bool:
    """Whether a temporary file or folder had no writer and was removed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        return True
    except OSError:  # locked by a living writer, or gone already
        return False
    finally:
        os.close(descriptor)


@contextmanager
def private_copy(path: Path) -> Iterator[Path]:
    """Yields a copy of a folder or a file in a place of its own, removed afterwards; what is not there is not copied.

    Files share their bytes where they can: they must be replaced, and never changed in place.
    """
    with tempfile.TemporaryDirectory(prefix="ofa-") as folder:
        copy = Path(folder) / path.name
        if path.is_dir():
            shutil.copytree(path, copy, copy_function=_linked)
        elif path.exists():
            _linked(path, copy)
        yield copy


def _linked(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
