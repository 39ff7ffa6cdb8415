"""Sets of labels and of pairs of labels, as ascending arrays of int64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_HALF = 32  # bits of a label in a packed pair


def missing(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns those of ascending distinct values that are not among others, ascending too."""
    if not len(known):
        return values
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    result: np.ndarray = values[known[places] != values]
    return result


def packed(pairs: Sequence[Tensor]) -> np.ndarray:
    """Returns distinct unordered pairs of labels, each packed into one int64, smaller label first, ascending."""
    if not pairs:
        return np.zeros(0, dtype=np.int64)
    together = torch.cat(list(pairs)).numpy()
    first, second = together[:, 0], together[:, 1]
    return _ascending((np.minimum(first, second) << _HALF) | np.maximum(first, second))


def unpacked(keys: np.ndarray) -> np.ndarray:
    """Returns packed pairs as int64 (pairs, 2)."""
    return np.stack((keys >> _HALF, keys & ((1 << _HALF) - 1)), axis=1)


def distinct(parts: Sequence[Tensor]) -> np.ndarray:
    """Returns the distinct labels of several tensors, ascending."""
    return _ascending(torch.cat(list(parts)).numpy()) if parts else np.zeros(0, dtype=np.int64)


def _ascending(values: np.ndarray) -> np.ndarray:
    """The distinct values; by sorting, which is several times as fast here as np.unique."""
    values = np.sort(values)
    return values[np.concatenate(([True], values[1:] != values[:-1]))] if len(values) else values
