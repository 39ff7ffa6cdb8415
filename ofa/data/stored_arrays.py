"""Arrays in .npy files that are read row by row when asked for: more examples than fit in memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from io import FileIO
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa.data.content_digests import known_identities
from ofa.data.identity import identities_of
from ofa.errors import InvalidInput

_PIECE_BYTES = 2**24  # of rows that are read at once where all are


@dataclass(frozen=True, eq=False)
class StoredArray:
    """Rows of an array (N, ...) of numbers in a file.

    They are read into memory of their own and not mapped, so that a process holds what it asked for alone, while the
    system's cache of the file serves all processes of a machine.

    Attributes:
        file: that NumPy wrote.
        rows: which of the array's rows these are, (N,) int64.
        example: the shape of one row.
        stored: the type of its numbers.
        offset: bytes before the first row.
    """

    file: Path
    rows: Tensor
    example: tuple[int, ...]
    stored: np.dtype[Any]
    offset: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""
        return len(self.rows), *self.example

    @property
    def dtype(self) -> torch.dtype:
        """Of what `take` returns: bytes of images as they are, else float32 or int64."""
        if self.stored == np.uint8 and len(self.shape) > 2:
            return torch.uint8
        return torch.float32 if self.stored.kind == "f" else torch.int64

    def chosen(self, positions: Tensor) -> StoredArray:
        """Returns some of these rows, which are not read."""
        return replace(self, rows=self.rows[positions])

    def take(self, rows: Tensor) -> Tensor:
        """Returns the rows at some positions, (len(rows), ...).

        Raises:
            InvalidInput: the file is gone, or shorter than it was.
        """
        wanted = self.rows[rows].numpy()
        out = np.empty((len(wanted), *self.example), self.stored)
        row_bytes = self.stored.itemsize * prod(self.example)
        try:
            with FileIO(self.file) as file:
                for first, last in _runs(wanted):
                    file.seek(self.offset + int(wanted[first]) * row_bytes)
                    self._fill(file, out[first:last])
        except OSError as error:
            raise InvalidInput(f"{self.file} cannot be read ({error.strerror}); restore it") from None
        return torch.from_numpy(out.astype(self.stored.newbyteorder("="), copy=False)).to(self.dtype)

    def _fill(self, file: FileIO, out: np.ndarray[Any, Any]) -> None:
        room = memoryview(out.view(np.uint8).reshape(-1))  # type: ignore[arg-type]
        while len(room):
            count = file.readinto(room)
            if not count:
                raise InvalidInput(f"{self.file} is shorter than its header says; restore it")
            room = room[count:]

    @cached_property
    def identities(self) -> Tensor:
        """The identity of each row from its bytes, (N,) int64: read once, and kept outside the data."""
        return known_identities(self.file, self._all_identities)[self.rows]

    def _all_identities(self) -> Tensor:
        status = self.file.stat()
        row_bytes = self.stored.itemsize * prod(self.example)
        rows = torch.arange((status.st_size - self.offset) // row_bytes)
        whole = replace(self, rows=rows)
        pieces = torch.split(rows, max(1, _PIECE_BYTES // row_bytes))
        return torch.cat([identities_of(whole.take(piece)) for piece in pieces])


def stored_array(array: np.memmap[Any, Any]) -> StoredArray:
    """Returns the rows of an array as `numpy.load(file, mmap_mode="r")` gives it.

    Raises:
        InvalidInput: a part of such an array, or one that is stored by column.
    """
    if not isinstance(array.base, mmap.mmap) or not array.flags.c_contiguous or array.filename is None:
        raise InvalidInput(
            f"an array of shape {array.shape} is a part of a file, or stored by column; give a whole file that "
            "numpy.save wrote, opened by numpy.load(file, mmap_mode='r')"
        )
    return StoredArray(
        Path(array.filename), torch.arange(len(array)), tuple(array.shape[1:]), array.dtype, array.offset
    )


def _runs(rows: np.ndarray[Any, Any]) -> Iterator[tuple[int, int]]:
    """Where rows that follow one another begin and end, so that each run is read at once."""
    starts = [*np.flatnonzero(np.diff(rows, prepend=rows[:1] - 2) != 1).tolist(), len(rows)]
    return pairwise(starts)
