"""Arrays of an npz file, no larger than expected: headers are checked before anything is allocated."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa.errors import InvalidInput

LARGEST = 256 * 2**20  # bytes of an array
_HEADER = 4096  # bytes of an array's header in the file, at most


def read_arrays(path: Path, names: Sequence[str], *, largest: int = LARGEST) -> dict[str, np.ndarray[Any, Any]]:
    """Returns the arrays of these names in an npz file, each of numbers and of `largest` bytes at most.

    Raises:
        InvalidInput: the file is missing or damaged, lacks one of the names, or holds something larger or not numeric.
    """
    try:
        if path.exists() and not path.is_file():  # reading a pipe would block, a device has no end
            raise InvalidInput("it is not a file")
        with zipfile.ZipFile(path) as archive:
            return {name: _read(archive, name, largest) for name in names}
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from None
    except FileNotFoundError:
        raise InvalidInput(f"{path} does not exist") from None
    except Exception as error:  # zip, header and array errors have no common class
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InvalidInput(f"{path} is damaged ({reason:.120}); restore it or make it again") from None


def _read(archive: zipfile.ZipFile, name: str, largest: int) -> np.ndarray[Any, Any]:
    member = archive.getinfo(f"{name}.npy")
    if member.file_size > largest + _HEADER:
        raise InvalidInput(f"{name} has {member.file_size:,} bytes, over the limit of {largest:,}; is this the file?")
    with archive.open(member) as file:
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, by_columns, dtype = read[np.lib.format.read_magic(file)](file, max_header_size=_HEADER)
        if dtype.kind not in "biuf":
            raise InvalidInput(f"{name} holds {dtype}, not numbers; restore it or make it again")
        size = math.prod(shape) * dtype.itemsize
        left = member.file_size - file.tell()
        if min(shape, default=0) < 0 or size != left:
            raise InvalidInput(
                f"{name} says it is {shape} of {dtype}, {size:,} bytes, and {left:,} are there; it is damaged"
            )
        # From the bytes read, so a header cannot make us allocate more than the file unpacks to.
        numbers = np.frombuffer(bytearray(file.read(size)), dtype=dtype)
        native = numbers.astype(dtype.newbyteorder("="), copy=False)
        return native.reshape(shape, order="F" if by_columns else "C")
