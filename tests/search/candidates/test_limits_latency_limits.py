"""Latency limits as users give them."""

from __future__ import annotations

from typing import Any

import pytest

from ofa import InvalidInput
from search.candidates.limits import (
    check_latency,
    fraction_limits,
    needs_default_limits,
    search_name,
    split_seed,
)


@pytest.mark.parametrize(
    ("given", "limits"), [(None, None), (4, (4.0,)), ([4, 1, 2.5, 4], (1.0, 2.5, 4.0)), (0.001, (0.001,))]
)
def test_limits_of_one_device_are_read(given: Any, limits: Any) -> None:
    assert check_latency(given) == limits


@pytest.mark.parametrize("given", [0, -1, "abc", "4", True, [], [1, "x"], float("nan"), float("inf")])
def test_other_limits_are_refused(given: Any) -> None:
    with pytest.raises(InvalidInput, match="latency_ms="):
        check_latency(given)


def test_a_limit_on_each_device_is_read_in_its_order() -> None:
    limits = check_latency({"phone": 3, "laptop": 0.25})
    assert isinstance(limits, dict)
    assert list(limits.items()) == [("phone", 3.0), ("laptop", 0.25)]


@pytest.mark.parametrize("value", [0, -1, "x", None, True, [1, 2], float("nan")])
def test_a_device_has_one_limit(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"latency_ms=\{phone: .*such as latency_ms=\{phone: 4\}"):
        check_latency({"laptop": 1, "phone": value})
    with pytest.raises(InvalidInput, match="names no device"):
        check_latency({})


@pytest.mark.parametrize(
    ("objectives", "limits", "needed"),
    [
        (["latency_ms"], {}, True),
        (["latency_ms"], {"params": 1.0}, True),
        ([], {}, True),  # the largest would win
        ([], {"params": 1.0}, False),
        (["params"], {}, False),
    ],
)
def test_default_limits_are_made_where_they_are_needed(objectives: Any, limits: Any, needed: bool) -> None:
    assert needs_default_limits(objectives, limits) == needed


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
    assert search_name("laptop", {"onnxruntime": 0.3, "eager": 3.0}) == "onnxruntime-0.3ms+eager-3ms"
    assert search_name("laptop", {"eager": 3.0}, "long") == "long"


def test_seeds_but_zero_are_in_the_name() -> None:
    assert search_name("laptop", None, seed=0) == "laptop"
    assert search_name("laptop", (1.0, 2.5), seed=3) == "laptop-1-2.5ms-seed3"
    assert search_name("laptop", (1.0,), "long", 3) == "long-seed3"
    assert search_name("laptop", {"a": 0.3, "b": 3.0}, seed=12) == "a-0.3ms+b-3ms-seed12"
    assert split_seed("laptop-1ms-seed12") == ("laptop-1ms", 12)
    assert split_seed("laptop-seed") == ("laptop-seed", 0)
    assert split_seed("laptop-1ms") == ("laptop-1ms", 0)


def test_a_name_is_checked() -> None:
    with pytest.raises(InvalidInput, match="study="):
        search_name("laptop", None, "../x")
