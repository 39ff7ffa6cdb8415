"""Selection: an exact number of the best scores, ties by position, without sorting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ofa.errors import InvalidInput

Scores: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]

_SMALL = 1 << 16  # values that are partitioned as they are
_SAMPLE = 1 << 14


def keep_best(scores: Tensor, count: int) -> Tensor:
    """Returns a bool mask of the shape of `scores` that keeps exactly `count` of them, the highest.

    Among equal scores the one of the lower (flat) index is kept, so the mask depends only on the scores.
    The mask is on the device of the scores; the work is done on the CPU, in linear time.

    Raises:
        InvalidInput: `count` is not between 0 and the number of scores, or a score is NaN.
    """
    if not 0 <= count <= scores.numel():
        raise InvalidInput(f"count={count!r}: {scores.numel()} scores can keep 0 to {scores.numel()}")
    values = as_array(scores)
    if count in (0, values.size):
        keep = np.full(values.size, count > 0)
    else:
        level, ties = _last_kept(values, count)
        keep = values > level
        keep[np.flatnonzero(values == level)[:ties]] = True
    return torch.from_numpy(keep).reshape(scores.shape).to(scores.device)


def count_best(values: Scores, sizes: Sequence[int], count: int) -> list[int]:
    """Returns how many of the `count` best values lie in each of consecutive parts of these sizes.

    Equal values rank by position, so `keep_best` of each part with its count gives the mask of `keep_best` of the
    whole. There is no check for NaN.
    """
    if count == 0:
        return [0] * len(sizes)
    if count >= values.size:
        return list(sizes)
    level, ties = _last_kept(values, count)
    counts = []
    for part in np.split(values, np.cumsum(sizes)[:-1]):
        equal = min(ties, int(np.count_nonzero(part == level)))
        ties -= equal
        counts.append(int(np.count_nonzero(part > level)) + equal)
    return counts


def as_array(scores: Tensor) -> Scores:
    """Returns the scores as one flat array, float32 or float64; without a copy where they already are.

    Raises:
        InvalidInput: a score is NaN.
    """
    values = scores.detach().reshape(-1).cpu()
    if values.dtype not in (torch.float32, torch.float64):
        values = values.double()  # holds every half, bfloat16 and any count that fits in memory
    array: Scores = values.numpy()
    if array.size and np.isnan(array.min()):  # the minimum of numbers and NaN is NaN; faster than checking each
        raise InvalidInput(f"{int(np.isnan(array).sum())} of {array.size} scores are NaN; scores must be numbers")
    return array


def _last_kept(values: Scores, count: int) -> tuple[float, int]:
    """The `count`-th highest value, and how many that equal it are among the `count` best; 0 < count < size.

    A sample brackets the value, so that few have to be partitioned, however many are equal. The sample decides how
    long this takes, not what comes out. Source: Floyd and Rivest 1975, algorithm SELECT.
    """
    if values.size <= _SMALL:
        return _last_of_few(values, count)
    drawn = np.sort(values[np.random.default_rng(0).integers(values.size, size=_SAMPLE)])
    middle = _SAMPLE - round(_SAMPLE * count / values.size)
    spread = 2 * math.isqrt(_SAMPLE)  # four standard deviations at the median, more elsewhere
    low = drawn[middle - spread] if middle >= spread else -np.inf
    high = drawn[middle + spread] if middle + spread < _SAMPLE else np.inf
    over_low, under_high = values > low, values < high
    from_high = values.size - int(np.count_nonzero(under_high))
    from_low_on = int(np.count_nonzero(over_low))
    if from_high < count <= from_low_on:
        between = values[over_low & under_high]
        search = _last_kept if 2 * between.size < values.size else _last_of_few
        return search(between, count - from_high)
    if count <= from_high:
        level, above = high, int(np.count_nonzero(values > high))
    else:
        level, above = low, from_low_on
    if above < count <= above + int(np.count_nonzero(values == level)):
        return level, count - above
    return _last_of_few(values, count)  # the sample did not bracket it


def _last_of_few(values: Scores, count: int) -> tuple[float, int]:
    position = values.size - count
    ordered = np.partition(values, position)
    level = ordered[position]
    return level, count - int(np.count_nonzero(ordered[position:] > level))
