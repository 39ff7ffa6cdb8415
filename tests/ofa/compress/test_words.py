"""Bits come out of words as they went in, by the library and without it alike."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa.compress.decoding.words import WHOLE, LibraryWords, PlainWords, words_of
from ofa.compress.tape import bytes_of, written


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, WHOLE - 1)), max_size=200), st.integers(0, 200))
def test_bits_come_back_by_the_library_and_without_it(pairs: list[tuple[bool, int]], cut: int) -> None:
    bits, chances = np.array([bit for bit, _ in pairs], np.uint8), np.array([each for _, each in pairs], np.uint16)
    words = written([(bits[:cut], chances[:cut]), (bits[cut:], chances[cut:])])
    assert 4 * len(words) <= bytes_of((bits, chances)) + 9
    for reader in (LibraryWords(words), PlainWords(words)):
        read = [reader.code(chances[:cut]), reader.code(chances[cut:])]
        assert np.concatenate(read).tolist() == bits.tolist()
        assert reader.is_empty()


def test_without_the_library_the_same_words_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    chances = rng.integers(1, WHOLE, 3000).astype(np.uint16)
    bits = (rng.integers(0, WHOLE, 3000) < chances).astype(np.uint8)
    words = written([(bits, chances)])
    assert isinstance(words_of(words), LibraryWords)
    monkeypatch.setitem(sys.modules, "constriction", None)
    assert written([(bits, chances)]).tolist() == words.tolist()
    assert isinstance(words_of(words), PlainWords)


def test_words_that_end_in_a_zero_are_refused() -> None:
    words = np.array([7, 0], np.uint32)
    for reader in (LibraryWords, PlainWords):
        with pytest.raises(ValueError):
            reader(words)
