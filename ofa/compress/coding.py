"""The coding of an array of patterns: the one that takes the fewest bytes of those that fit what it holds."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import numpy as np

from ofa.compress.code import Code, Parts, joined, varint, varints
from ofa.compress.decoding.file import TEXT_RATIO, TEXT_SLACK
from ofa.compress.decoding.patterns import ESCAPE, LEVELS, MOST_LEVELS, PLAIN, PLANES, SAME, SPARSE
from ofa.compress.decoding.reader import Array
from ofa.compress.matrices import as_matrix

SAMPLE = 2**14  # patterns that are looked at before all of a large array are
LEAST_MATRIX = 128  # numbers, of which a step-by-step coding is worth its entries
DENSE_FROM, SPARSE_FROM = 0.4, 0.9  # of patterns that are not zero
SHORT = 2**12  # bytes of a plane, up to which runs are tried
FEW = 0.25  # different ones among those of the sample, at most, for a table to be tried


def coded(patterns: Array, rotated: bool, rows: int = 0, seconds: float = 0.0) -> Code:
    """Returns an array of patterns (N,), unsigned integers, coded.

    Args:
        patterns: of one tensor, or of several in turn.
        rotated: whether they are of floats, whose exponents are behind the sign.
        rows: of the matrix that they are; 0: of none.
        seconds: that decoding them bit by bit may take.
    """
    if not len(patterns):
        return Code("plain", varint(PLAIN))
    if (patterns == patterns[0]).all():
        return Code("same", varint(SAME), (patterns[:1].tobytes(),), Parts(tables=patterns.itemsize))
    numbers = int(np.count_nonzero(patterns))
    sparse = numbers < SPARSE_FROM * len(patterns)
    tried = [_sparse(patterns, rotated)] if sparse else []
    if numbers >= DENSE_FROM * len(patterns):
        tried.append(_dense(patterns, rotated))
    if rows and len(patterns) >= LEAST_MATRIX and (sparse or tried[-1].how == "levels"):
        matrix = as_matrix(patterns, rows, seconds, lambda values: coded(values, rotated and values.itemsize > 1))
        tried += [matrix] if matrix else []
    return min(tried, key=lambda code: code.bytes)


def _dense(patterns: Array, rotated: bool) -> Code:
    planes = _planes(patterns, rotated)
    levels = _levels(patterns, rotated)
    return planes if levels is None or planes.bytes <= levels.bytes else levels


def _sparse(patterns: Array, rotated: bool) -> Code:
    places = np.flatnonzero(patterns)
    positions = _positions(places)
    values = coded(patterns[places], rotated)
    return joined(f"sparse, {values.how}", varint(SPARSE), (positions, values))


def _positions(places: Array) -> Code:
    """Relative positions with fillers (Han et al. 2016, 1510.00149, section 2)."""
    gaps = np.diff(places, prepend=-1) - 1
    fillers = gaps // ESCAPE
    written = np.full(len(gaps) + int(fillers.sum()), ESCAPE, np.uint8)
    written[np.cumsum(fillers + 1) - 1] = gaps % ESCAPE
    code = joined("", varint(len(written)), (_planes(written, False),))
    return replace(code, parts=Parts(positions=code.parts.total))


def _levels(patterns: Array, rotated: bool) -> Code | None:
    """A table and places in it, where few patterns occur."""
    if patterns.itemsize == 1:
        return None
    sample = patterns[:: max(1, len(patterns) // SAMPLE)]
    levels = np.unique(sample)
    if len(levels) > max(FEW * len(sample), 16):
        return None
    places = np.searchsorted(levels, patterns).clip(max=len(levels) - 1)
    if not np.array_equal(levels[places], patterns):  # the sample has not all of them
        levels, places = np.unique(patterns, return_inverse=True)
    if len(levels) > MOST_LEVELS:
        return None
    table = _planes(levels, rotated)
    places = places.astype(np.uint8 if len(levels) <= 256 else np.uint16)
    values = _planes(places, False) if len(levels) > 1 else coded(places, False)
    table = replace(table, parts=Parts(tables=table.parts.total))
    return joined("levels", varints(LEVELS, len(levels) - 1), (table, values))


def _planes(patterns: Array, rotated: bool) -> Code:
    width = patterns.itemsize
    if rotated:
        unit = patterns.dtype.type
        patterns = (patterns << unit(1)) | (patterns >> unit(8 * width - 1))
    planes = patterns.view(np.uint8).reshape(-1, width)
    directory, plain = varints(PLANES, int(rotated)), []
    for plane in range(width):
        content = planes[:, plane].tobytes()
        small = _smallest(content)
        fits = len(small) < len(content)
        directory += varint(len(small) if fits else 0)
        plain.append(small if fits else content)
    values = sum(map(len, plain))
    whole = width * len(patterns)
    if values >= whole:
        return Code("plain", varint(PLAIN), (_unrotated(patterns, rotated).tobytes(),), Parts(values=whole))
    return Code("planes", directory, tuple(plain), Parts(values=values))


def _smallest(content: bytes) -> bytes:
    """Deflated by Huffman codes alone; short ones also with runs: tables of rounded values have planes of zeros."""
    small = deflated(content, zlib.Z_HUFFMAN_ONLY)
    return min(small, deflated(content, zlib.Z_RLE), key=len) if len(content) <= SHORT else small


def _unrotated(patterns: Array, rotated: bool) -> Array:
    unit: Any = patterns.dtype.type
    return (patterns >> unit(1)) | (patterns << unit(8 * patterns.itemsize - 1)) if rotated else patterns


def deflated(content: bytes, strategy: int = zlib.Z_DEFAULT_STRATEGY, level: int = 9) -> bytes:
    """Returns deflated bytes, without a header."""
    machine = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return machine.compress(content) + machine.flush()


def deflated_text(content: bytes) -> bytes:
    """Returns a deflated directory or card, never so small that a reader would take it for a trap."""
    small = deflated(content)
    return small if len(content) <= TEXT_RATIO * len(small) + TEXT_SLACK else deflated(content, level=0)
