"""Bits with their chances, on the way to words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ofa.compress.decoding.reader import Array
from ofa.compress.decoding.words import PRECISION, WHOLE, probabilities, zeros_of

Piece = tuple[Array, Array]  # bits and the chances of a 1, in turn
CHUNK = 2**20  # bits that are written at a time
BITS = -np.log2(np.maximum(np.arange(WHOLE + 1), 0.5) / WHOLE)  # of a symbol, by its chance


class Tape:
    """Takes known bits as a reader would give them."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []

    def code(self, chances: Array, known: Array | None) -> Array:
        """Returns the known bits."""
        assert known is not None
        bits = known.astype(np.uint8)
        self.pieces.append((bits, chances.astype(np.uint16)))
        return bits.astype(np.int64)

    @property
    def piece(self) -> Piece:
        """All of it as one."""
        if not self.pieces:
            return np.zeros(0, np.uint8), np.zeros(0, np.uint16)
        bits, chances = zip(*self.pieces, strict=True)
        return np.concatenate(bits), np.concatenate(chances)


def bytes_of(piece: Piece) -> float:
    """Returns the bytes that bits take with these chances."""
    bits, chances = piece
    return float(BITS[np.where(bits, chances.astype(np.int64), WHOLE - chances.astype(np.int64))].sum()) / 8


def written(pieces: Sequence[Piece]) -> Array:
    """Returns the words out of which the bits of these pieces can be read, the first first; see `decoding.words`."""
    parts = [
        (bits[start : start + CHUNK], chances[start : start + CHUNK])
        for bits, chances in pieces
        for start in range(0, len(bits), CHUNK)
    ]
    try:
        import constriction
    except ImportError:
        return _written_plainly(parts)
    stack = constriction.stream.stack.AnsCoder()
    family = constriction.stream.model.Categorical(perfect=False)
    for bits, chances in reversed(parts):
        stack.encode_reverse(bits.astype(np.int32), family, probabilities(chances))
    words: Array = stack.get_compressed()
    return words.astype("<u4")


def _written_plainly(parts: Sequence[Piece]) -> Array:
    """The same in Python."""
    words: list[int] = []
    state = 0
    for bits, chances in reversed(parts):
        for bit, zero in zip(reversed(bits.tolist()), reversed(zeros_of(chances).tolist()), strict=True):
            chance, left = (2**PRECISION - zero, zero) if bit else (zero, 0)
            if state >> (64 - PRECISION) >= chance:
                words.append(state & 2**32 - 1)
                state >>= 32
            prefix, rest = divmod(state, chance)
            state = prefix << PRECISION | left + rest
    while state:
        words.append(state & 2**32 - 1)
        state >>= 32
    return np.array(words, "<u4")
