"""The coding of a tensor as a matrix, step by step: which way it lies, and whether it is an image's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ofa.compress.code import Code, Parts, varints
from ofa.compress.decoding.matrix import MOST_LANES, Matrix, levels_of, mask_of
from ofa.compress.decoding.patterns import MATRIX, MOST_CODED
from ofa.compress.decoding.reader import Array
from ofa.compress.decoding.words import WHOLE
from ofa.compress.tape import Tape, bytes_of

STEP_SECONDS = 1e-4  # to decode a step whose numbers are few
MASK_SECONDS, LEVEL_SECONDS = 2.5e-7, 4e-7  # a number, and a bit of a level
LARGEST_LAG = 64
SIMILAR = 1.3  # how much more two rows of an image have in common than others
BOTH_WAYS = 2**20  # numbers of a tensor that is tried both ways

Rest = Callable[[Array], Code]


def as_matrix(patterns: Array, rows: int, seconds: float, rest: Rest) -> Code | None:
    """Returns patterns coded as a matrix of so many rows, the way in which it takes fewer bytes.

    Args:
        patterns: (rows * columns,).
        seconds: that decoding may take; None is returned where it would take more.
        rest: codes an array of patterns otherwise: tables, and numbers of many levels.
    """
    matrix = patterns.reshape(rows, -1)
    ways = [turned for turned in (False, True) if _seconds(*_lying(matrix, turned).shape) <= seconds]
    if patterns.size > BOTH_WAYS:
        ways = sorted(ways, key=lambda turned: matrix.shape[turned])[:1]
    codes = [_coded(_lying(matrix, turned), turned, seconds, rest) for turned in ways]
    return min(codes, key=lambda code: code.bytes, default=None)


def _lying(matrix: Array, turned: bool) -> Array:
    return np.ascontiguousarray(matrix.T) if turned else matrix


def _seconds(steps: int, lanes: int) -> float:
    return STEP_SECONDS * steps + MASK_SECONDS * steps * lanes if lanes <= MOST_LANES else np.inf


def _coded(patterns: Array, turned: bool, seconds: float, rest: Rest) -> Code:
    steps, lanes = patterns.shape
    mask = patterns != 0
    numbers = int(np.count_nonzero(mask))
    density = 0 if numbers == mask.size else min(WHOLE - 1, max(1, round(WHOLE * numbers / mask.size)))
    lag = _lag(mask)
    shape, tape = Matrix(steps, lanes, lag), Tape()
    if density:
        mask_of(tape, shape, density, mask)
    values = patterns[mask]
    directory = varints(MATRIX, int(turned), steps, lag, density)
    pieces = (tape.piece,)
    parts = Parts(positions=bytes_of(tape.piece))
    levels, places = np.unique(values, return_inverse=True)
    deep = (len(levels) - 1).bit_length()
    slow = (STEP_SECONDS * steps + LEVEL_SECONDS * numbers) * deep > seconds
    if 1 < len(levels) <= min(MOST_CODED, numbers // 2) and not slow:
        table = rest(levels)
        tape = Tape()
        levels_of(tape, shape, mask, len(levels), places)
        parts += Parts(values=bytes_of(tape.piece), tables=table.parts.total)
        how, entry, bits = f"matrix, {len(levels)} levels", varints(len(levels)), (*pieces, *table.bits, tape.piece)
    else:
        table = rest(values)
        parts += table.parts
        how, entry, bits = f"matrix, {table.how}", varints(0), (*pieces, *table.bits)
    return Code(how, directory + entry + table.directory, table.plain, parts, bits)


def _lag(mask: Array) -> int:
    """The steps after which a matrix resembles itself, as the rows of an image do; 0: none."""
    longest = min(LARGEST_LAG, len(mask) // 4)
    if longest < 3 or mask.size > BOTH_WAYS:
        return 0
    common = np.array([np.count_nonzero(mask[lag:] & mask[:-lag]) / (len(mask) - lag) for lag in range(2, longest + 1)])
    best = int(common.argmax())
    return best + 2 if common[best] > SIMILAR * np.median(common) else 0
