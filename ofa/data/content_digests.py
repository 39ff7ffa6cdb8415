"""Identities of many encoded images; of files they are computed once and kept in a cache outside the data."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ofa.data.identity import identity_of
from ofa.data.image_files import Reading, content_of, read_file
from ofa.paths import write_atomic

_SLICE = 2000  # rows of a table that are in memory at once
# A file that was changed just now may change again within one tick of the file system's clock: not cached yet.
_SETTLED_NS = 2_000_000_000


def identities_of_rows(encoded: Any, reading: Reading, origin: str) -> Tensor:
    """Returns the identity of each encoded image of a table's column, from its bytes, as (N,) int64.

    Raises:
        InvalidInput: a row that holds no image.
    """
    identities: list[int] = []
    for first in range(0, len(encoded), _SLICE):
        rows = list(range(first, min(first + _SLICE, len(encoded))))
        for row, image in zip(rows, encoded[rows], strict=True):
            identities.append(identity_of(content_of(image, reading, f"{origin}, row {row}")))
    return torch.tensor(identities, dtype=torch.int64)


def identities_of_files(root: Path, files: Sequence[Path], reading: Reading, cache: Path, origin: str) -> Tensor:
    """Returns the identity of each file, from its content, as (N,) int64.

    What is known of a file is used again while its size and its times of change (by nanoseconds, of content
    and of the file's own entry) are the same. A cache that cannot be read or written only costs time.

    Raises:
        InvalidInput: a file that cannot be read.
    """
    cache_file = cache / f"{hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:16]}.json"
    known = _read(cache_file)
    stamps = [_stamp(path) for path in files]
    keys = [os.fsdecode(os.path.relpath(path, root)) for path in files]
    new = [row for row, key in enumerate(keys) if known.get(key, [None])[:-1] != stamps[row]]

    def identity(row: int) -> int:
        return identity_of(read_file(files[row], reading, origin))

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for row, number in zip(new, pool.map(identity, new), strict=True):
            known[keys[row]] = [*stamps[row], number]
    if new:
        settled = time.time_ns() - _SETTLED_NS
        _write(cache_file, {key: row for key, row in known.items() if max(row[1:3]) < settled})
    return torch.tensor([known[key][-1] for key in keys], dtype=torch.int64)


def known_identities(file: Path, compute: Callable[[], Tensor]) -> Tensor:
    """Returns the identities (N,) int64 of what a file holds, `compute`d once while its size and times are the same."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(file))).hexdigest()[:16]
    cache_file = default_cache().with_name("arrays") / name
    stamp = _stamp(file)
    with suppress(OSError, ValueError):  # a cache that cannot be read only costs time
        checksum, _, content = cache_file.read_bytes().partition(b"\n")
        if checksum == _checksum(json.dumps(stamp).encode() + content):
            return torch.frombuffer(bytearray(content), dtype=torch.int64)
    identities = compute()
    if max(stamp[1:]) < time.time_ns() - _SETTLED_NS:
        content = identities.numpy().tobytes()
        with suppress(OSError):
            write_atomic(cache_file, _checksum(json.dumps(stamp).encode() + content) + b"\n" + content)
    return identities


def default_cache() -> Path:
    """Returns the folder for what is known of files: `$XDG_CACHE_HOME/ofa/images`, by default in ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "ofa" / "images"


def _stamp(path: Path) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _read(file: Path) -> dict[str, list[int]]:
    """What is known: by the file's name its size, times and identity; nothing where the cache is unusable."""
    try:
        checksum, _, text = file.read_bytes().partition(b"\n")
        if checksum != _checksum(text):
            return {}
        rows = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(rows, dict):
        return {}
    return {key: row for key, row in rows.items() if _is_row(row)}


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and len(row) == 4 and all(type(n) is int and abs(n) < 2**63 for n in row)


def _write(file: Path, known: dict[str, list[int]]) -> None:
    text = json.dumps(known).encode()
    with suppress(OSError):
        write_atomic(file, _checksum(text) + b"\n" + text)


def _checksum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
