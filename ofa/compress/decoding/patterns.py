"""Arrays of patterns, the bits of numbers as unsigned integers, out of what they are coded as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ofa.compress.decoding.matrix import Matrix, levels_of, mask_of
from ofa.compress.decoding.reader import Array, Reader, at_most, inflated
from ofa.compress.decoding.words import Coder

PLAIN, SAME, PLANES, LEVELS, SPARSE, MATRIX = range(6)
ESCAPE = 255  # a gap of so many zeros before which there is no number
MOST_LEVELS = 2**16
MOST_CODED = 256  # levels whose places are coded bit by bit


@dataclass(frozen=True)
class Source:
    """What arrays are read from: entries of the directory, plain bytes, and coded bits."""

    directory: Reader
    plain: Reader
    coder: Coder


def patterns_of(source: Source, count: int, unit: np.dtype[Any]) -> Array:
    """Returns the next array of patterns, (count,).

    Raises:
        ValueError: the entries, the bytes and the count contradict each other.
    """
    coding = source.directory.number()
    if coding == PLAIN:
        return np.frombuffer(source.plain.take(count * unit.itemsize), unit).copy()
    if coding == SAME:
        return np.full(count, np.frombuffer(source.plain.take(unit.itemsize), unit)[0])
    if coding == PLANES:
        return _planes(source, count, unit)
    if coding == LEVELS:
        return _levels(source, count, unit)
    if coding == SPARSE:
        places = _places(source, count)
        patterns = np.zeros(count, unit)
        patterns[places] = patterns_of(source, len(places), unit)
        return patterns
    if coding == MATRIX:
        return _matrix(source, count, unit)
    raise ValueError(f"coding {coding} is unknown")


def _planes(source: Source, count: int, unit: np.dtype[Any]) -> Array:
    rotated = source.directory.number(1)
    planes = np.empty((count, unit.itemsize), np.uint8)
    for plane in range(unit.itemsize):
        size = source.directory.number()
        plain = inflated(source.plain.take(size), count) if size else source.plain.take(count)
        if len(plain) != count:
            raise ValueError("a plane is too short")
        planes[:, plane] = np.frombuffer(plain, np.uint8)
    patterns: Array = planes.reshape(-1).view(unit)
    if rotated:
        patterns = (patterns >> unit.type(1)) | (patterns << unit.type(8 * unit.itemsize - 1))
    return patterns


def _levels(source: Source, count: int, unit: np.dtype[Any]) -> Array:
    levels = patterns_of(source, source.directory.number(min(count, MOST_LEVELS) - 1) + 1, unit)
    places = patterns_of(source, count, np.dtype("<u1" if len(levels) <= 256 else "<u2"))
    at_most(int(places.max(initial=0)) + 1, len(levels))
    chosen: Array = levels[places]
    return chosen


def _places(source: Source, count: int) -> Array:
    """Where the patterns are not zero: from the zeros between them."""
    gaps = patterns_of(source, source.directory.number(count), np.dtype("<u1")).astype(np.int64)
    numbers = gaps != ESCAPE
    places: Array = np.cumsum(gaps + numbers)[numbers] - 1
    at_most(int(places[-1]) + 1 if len(places) else 0, count)
    return places


def _matrix(source: Source, count: int, unit: np.dtype[Any]) -> Array:
    """Patterns by where they are in a matrix, step by step."""
    directory = source.directory
    turned, steps, lag, density = (
        directory.number(1),
        directory.number(count),
        directory.number(),
        directory.number(65535),
    )
    if not steps or count % steps:
        raise ValueError(f"{count} numbers have no {steps} steps")
    matrix = Matrix(steps, count // steps, at_most(lag, steps))
    mask = mask_of(source.coder, matrix, density, None) if density else np.ones((steps, count // steps), bool)
    numbers = int(np.count_nonzero(mask))
    levels = directory.number(min(numbers, MOST_CODED))
    if levels:
        table = patterns_of(source, levels, unit)
        chosen = table[at_most_all(levels_of(source.coder, matrix, mask, levels, None), levels)]
    else:
        chosen = patterns_of(source, numbers, unit)
    patterns = np.zeros(mask.shape, unit)
    patterns[mask] = chosen
    return np.ascontiguousarray(patterns.T if turned else patterns).reshape(-1)


def at_most_all(places: Array, count: int) -> Array:
    """Returns places in a table of so many.

    Raises:
        ValueError: one is not.
    """
    at_most(int(places.max(initial=0)) + 1, count)
    return places
