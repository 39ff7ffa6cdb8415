"""One sentence of what was found, true whatever was found."""

from __future__ import annotations

from search.run.result_files import PairComparison, PairSide, PurposeRow
from search.subnets.advantage import (
    BETTER,
    MEETS,
    NOT_BETTER,
    OF_THE_OTHER,
    QUICKER,
    SAME,
    SAME_SUBNET,
    finding,
    purposes_text,
)
from tests.search.scored import score

TWO = ("laptop", "phone")


def pair(sense: str, reason: str = "") -> PairComparison:
    side = PairSide(subnet="A", ms=1.0, score=score(0.9))
    return PairComparison(
        device="laptop",
        limit_ms=1.0,
        limits={},
        own=side,
        other_device="phone",
        other_limit_ms=1.0,
        other=side,
        same_score=0.01,
        better=sense != NOT_BETTER,
        sense=sense,
        reason=reason,
    )


def test_all_some_or_none_are_better() -> None:
    everywhere = finding(TWO, [pair(MEETS), pair(QUICKER), pair(MEETS)])
    assert everywhere == (
        "On its own device, each choice is better than another device's in all 3 comparisons: "
        "twice it meets the limit where the other does not, once it is quicker and as good."
    )
    some = finding(TWO, [pair(BETTER), pair(NOT_BETTER, OF_THE_OTHER[MEETS])])
    assert some == (
        "On its own device, a choice is better than another device's in 1 of 2 comparisons: once it is better "
        "within the limit. In the other: once the other meets the limit where it does not."
    )
    none = finding(TWO, [pair(NOT_BETTER, SAME)] * 3)
    assert none == (
        "On its own device, no choice is better than another device's in 3 comparisons: "
        "3 times there is no difference beyond the noise."
    )
    assert "each choice is better than another device's in the one comparison: once" in finding(TWO, [pair(MEETS)])


def test_nothing_to_compare_is_said() -> None:
    assert finding((), []).startswith("No device was searched")
    assert finding(("laptop",), []).startswith("Only laptop was searched")
    assert finding(("laptop",), [], together=True).startswith("Devices were searched together")
    assert finding(TWO, []).startswith("No two devices were searched under comparable limits")
    same = finding(TWO, [pair(NOT_BETTER, SAME_SUBNET)] * 2)
    assert same == "The devices chose the same subnets under comparable limits: one subnet serves them all."


def purpose(devices: tuple[str, ...], limits_ms: dict[str, float], **others: float) -> PurposeRow:
    return PurposeRow(search="any", devices=devices, limits_ms=limits_ms, limits=others)


def test_limits_of_one_device_stand_together() -> None:
    one = [purpose(("laptop",), {"laptop": 4.0}), purpose(("laptop",), {"laptop": 6.0})]
    assert purposes_text([*one, one[0]]) == "laptop ≤ 4.00 ms, 6.00 ms"
    both = purpose(TWO, {"laptop": 4.0, "phone": 9.0})
    assert purposes_text([both, one[0]]) == "laptop ≤ 4.00 ms; laptop ≤ 4.00 ms and phone ≤ 9.00 ms"
    assert purposes_text([purpose(("laptop",), {"laptop": 4.0}, params=1e6)]) == "laptop ≤ 4.00 ms, 1.00 M params"
    assert purposes_text([purpose(TWO, {"phone": 9.0})]) == "laptop and phone ≤ 9.00 ms"
    assert purposes_text([purpose(("laptop",), {})]) == "laptop"
    assert purposes_text([]) == ""
