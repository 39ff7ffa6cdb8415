"""Bits out of words: a stack of asymmetric numeral systems (Duda 2013, 1311.2540), two symbols with a chance for each.

The words are those of constriction's `AnsCoder` with a `Categorical` of two: this reads them through that library where
it is installed, and does the same arithmetic in Python where not, a hundred times slower.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]
WHOLE = 2**16  # chances are whole numbers from 1 to this - 1, of this
PRECISION = 24  # bits to which the library rounds chances


class Coder(Protocol):
    """Gives bits by their chances: those that are read, or known ones that are written."""

    def code(self, chances: Array, known: Array | None) -> Array:
        """Returns bits (N,) of 0 and 1, given the chance of a 1 for each, of 65536."""


class LibraryWords:
    """Words that constriction reads."""

    def __init__(self, words: Array) -> None:
        import constriction

        self._family = constriction.stream.model.Categorical(perfect=False)
        self._stack = constriction.stream.stack.AnsCoder(words.astype(np.uint32))

    def code(self, chances: Array, known: Array | None = None) -> Array:
        """Returns the next bits."""
        bits: Array = self._stack.decode(self._family, probabilities(chances))
        return bits

    def is_empty(self) -> bool:
        """Whether nothing is left."""
        return bool(self._stack.is_empty())


class PlainWords:
    """The same words, read in Python."""

    def __init__(self, words: Array) -> None:
        if len(words) and not words[-1]:
            raise ValueError("the last word is zero")
        self._words = [int(word) for word in words]
        self._state = 0
        while self._words and self._state < 2**32:
            self._state = self._state << 32 | self._words.pop()

    def code(self, chances: Array, known: Array | None = None) -> Array:
        """Returns the next bits."""
        zeros = zeros_of(chances).tolist()
        bits = np.zeros(len(zeros), np.int32)
        state, words, low = self._state, self._words, 2**PRECISION - 1
        for position, zero in enumerate(zeros):
            rest = state & low
            if rest < zero:
                state = (state >> PRECISION) * zero + rest
            else:
                bits[position] = 1
                state = (state >> PRECISION) * (2**PRECISION - zero) + rest - zero
            if state < 2**32 and words:
                state = state << 32 | words.pop()
        self._state = state
        return bits

    def is_empty(self) -> bool:
        """Whether nothing is left."""
        return not self._words and not self._state


def words_of(words: Array) -> LibraryWords | PlainWords:
    """Returns what reads words, by the library where it is installed."""
    try:
        return LibraryWords(words)
    except ImportError:
        return PlainWords(words)


def probabilities(chances: Array) -> Array:
    """Returns the chances of 0 and 1 as the library takes them, (N, 2), without rounding."""
    pairs = np.empty((len(chances), 2), np.float32)
    pairs[:, 1] = chances
    pairs[:, 1] /= WHOLE
    np.subtract(1, pairs[:, 1], out=pairs[:, 0])
    return pairs


def zeros_of(chances: Array) -> Array:
    """Returns the chance of a 0, of 2^24, as the library rounds it."""
    scaled = probabilities(chances)[:, 0] * np.float32(2**PRECISION - 2)
    whole: Array = scaled.astype(np.int64) + 1
    return whole
