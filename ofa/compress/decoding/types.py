"""The types of numbers in files, and their bits as unsigned integers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ofa.compress.decoding.reader import Array

# Names of types with their bytes; their places here are in files: append only.
TYPES = (
    *(("float32", 4), ("float16", 2), ("bfloat16", 2), ("float64", 8), ("bool", 1), ("uint8", 1), ("int8", 1)),
    *(("int16", 2), ("int32", 4), ("int64", 8), ("uint16", 2), ("uint32", 4), ("uint64", 8), ("complex64", 8)),
    *(("complex128", 16), ("float8_e4m3fn", 1), ("float8_e5m2", 1), ("float8_e4m3fnuz", 1), ("float8_e5m2fnuz", 1)),
    *(("float8_e8m0fnu", 1),),
)


@dataclass(frozen=True)
class Described:
    """A tensor in the directory: its name, the place of its type in `TYPES`, and its shape."""

    name: str
    kind: int
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all its numbers."""
        return math.prod(self.shape) * TYPES[self.kind][1]

    @property
    def unit(self) -> np.dtype[np.unsignedinteger]:
        """Numpy's type of its patterns; a number of 16 bytes is two of them."""
        return np.dtype(f"<u{min(TYPES[self.kind][1], 8)}")


@dataclass(frozen=True)
class Coded:
    """A tensor as it was saved: the name of its type, its shape, and its numbers' bits, of one dimension."""

    type: str
    shape: tuple[int, ...]
    patterns: Array

    def array(self) -> Array:
        """Returns it as numbers, where numpy has the type; otherwise their bits as unsigned integers."""
        try:
            kind = np.dtype(self.type)
        except TypeError:
            return self.patterns.reshape(self.shape)
        return self.patterns.view(kind).reshape(self.shape)
