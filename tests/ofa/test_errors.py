"""Rules of values: what is a whole number, and what a number."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa.errors import is_number, is_whole, nearest


@given(st.integers(), st.integers(), st.integers())
def test_a_whole_number_is_within_its_bounds(value: int, least: int, most: int) -> None:
    assert is_whole(value) and is_number(value)
    assert is_whole(value, least, most) == (least <= value <= most)


@pytest.mark.parametrize("value", [True, False, 2.0, "2", None, 1j, [1]])
def test_no_flag_and_no_text_is_a_whole_number(value: object) -> None:
    assert not is_whole(value)
    assert is_number(value) == (value == 2.0)


@given(st.floats())
def test_a_number_is_finite(value: float) -> None:
    assert is_number(value) == math.isfinite(value)


def test_an_integer_larger_than_any_float_is_a_number() -> None:
    assert is_number(10**400) and not is_whole(10**400, 0, 2**63)


def test_the_nearest_names_come_first_and_the_first_choices_where_none_is_near() -> None:
    assert nearest("eagre", ["compile", "eager"]) == "did you mean eager?"
    assert nearest("zzz", map(str, range(12))) == "choices: 0, 1, 2, 3, 4, 5, 6, 7, 8, ..."
    assert nearest("zzz", []) == "there are none to choose from"
