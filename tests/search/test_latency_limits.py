"""Latency limits as users give them."""

from __future__ import annotations

from typing import Any

import pytest

from ofa import InvalidInput
from search.latency_limits import check_fractions, check_latency, fraction_limits, search_name


@pytest.mark.parametrize(
    ("given", "limits"), [(None, None), (4, (4.0,)), ([4, 1, 2.5, 4], (1.0, 2.5, 4.0)), (0.001, (0.001,))]
)
def test_limits_are_read(given: Any, limits: Any) -> None:
    assert check_latency(given) == limits


@pytest.mark.parametrize("given", [0, -1, "abc", "4", True, [], [1, "x"], float("nan"), float("inf"), {"a": 1}])
def test_other_limits_are_refused(given: Any) -> None:
    with pytest.raises(InvalidInput, match="latency_ms="):
        check_latency(given)


@pytest.mark.parametrize("given", [[], [0], [1.5], ["x"], 0.5, None, [True]])
def test_other_fractions_are_refused(given: Any) -> None:
    with pytest.raises(InvalidInput, match="latency_fractions="):
        check_fractions(given)


def test_fractions_of_the_largest_are_rounded_up_to_three_digits() -> None:
    assert fraction_limits((0.3, 0.5, 0.75), largest_ms=0.1234, reachable_ms=0.01) == (0.0371, 0.0617, 0.0926)


def test_fractions_that_nothing_meets_are_spread_between_quickest_and_largest() -> None:
    limits = fraction_limits((0.3, 0.5, 1.0), largest_ms=10.0, reachable_ms=5.0)
    assert limits == pytest.approx((6.0, 7.15, 10.0))


def test_default_limits_leave_headroom_over_the_quickest() -> None:
    assert min(fraction_limits((0.5, 1.0), largest_ms=10.0, reachable_ms=4.9)) == pytest.approx(5.88)
    assert min(fraction_limits((0.5, 1.0), largest_ms=10.0, reachable_ms=9.9)) == pytest.approx(11.9)


def test_name_of_a_search() -> None:
    assert search_name("laptop", None) == "laptop"
    assert search_name("laptop", (1.0, 2.5)) == "laptop-1-2.5ms"
    assert search_name("laptop", (1.0,), "long") == "long"
    with pytest.raises(InvalidInput, match="study="):
        search_name("laptop", None, "../x")
