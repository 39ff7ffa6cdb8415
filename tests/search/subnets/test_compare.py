"""Which choices are held against each other, and what comparison.json says of them."""

from __future__ import annotations

import pytest

from search.run.result_files import LimitRow, PairSide, SubnetOnDevice
from search.subnets.advantage import MEETS, SAME_SUBNET
from search.subnets.compare import find_pairs, label
from tests.search.scored import ACCURACY, score
from tests.search.subnets.comparisons import (
    LARGEST,
    MIDDLE,
    SEARCHES,
    THIN,
    WIDE,
    compared,
    found,
    found_together,
    with_largest,
)


def test_limits_of_about_the_same_share_are_compared() -> None:
    pairs = find_pairs(with_largest(SEARCHES), ["laptop", "phone"], 1.25, ACCURACY)
    assert [(pair.device, pair.limit_ms, pair.own.arch, pair.other.arch) for pair in pairs] == [
        ("laptop", 2.1, WIDE, THIN),
        ("laptop", 4.1, MIDDLE, MIDDLE),
        ("phone", 25.0, THIN, WIDE),
        ("phone", 48.0, MIDDLE, MIDDLE),
    ]
    assert (
        find_pairs(with_largest(SEARCHES), ["laptop"], 1.25, ACCURACY) == pairs[:2]
    )  # what a device is not measured for
    assert [pair.limit_ms for pair in find_pairs(with_largest(SEARCHES), ["laptop"], 1.06, ACCURACY)] == [2.1]


def test_the_nearest_limit_counts_and_of_several_searches_the_most_accurate_choice() -> None:
    searches = {
        "laptop": found("laptop", {2.1: WIDE}),
        "laptop-long": found("laptop", {2.1: MIDDLE}),  # 0.97 on validation, and 0.94
        "phone": found("phone", {25.0: THIN, 27.0: WIDE}),
    }
    (pair,) = find_pairs(with_largest(searches), ["laptop"], 1.25, ACCURACY)
    assert (pair.own.arch, pair.other.arch) == (MIDDLE, WIDE)


def test_other_limits_have_to_be_the_same() -> None:
    searches = {**SEARCHES, "phone": found("phone", {25.0: THIN}, params=1e6)}
    assert find_pairs(with_largest(searches), ["laptop", "phone"], 1.25, ACCURACY) == []
    searches["laptop"] = found("laptop", {2.1: WIDE}, params=1e6)
    assert len(find_pairs(with_largest(searches), ["laptop", "phone"], 1.25, ACCURACY)) == 2


def test_a_search_of_several_devices_is_no_devices_own() -> None:
    together = found_together({"laptop": 2.1, "phone": 25.0}, THIN)
    assert find_pairs(with_largest({"both": together}), ["laptop", "phone"], 1.25, ACCURACY) == []
    found_here = compared({"both": together})
    assert "searched together" in found_here.finding
    (purpose,) = found_here.subnets[0].chosen_for
    assert purpose.limits_ms == {"laptop": 2.1, "phone": 25.0}
    assert found_here.subnets[0].on["laptop"].limits == (LimitRow(limit_ms=2.1, met=False),)


def test_each_device_is_better_served_by_its_own_choice() -> None:
    searches = {"laptop": found("laptop", {2.1: WIDE}), "phone": found("phone", {25.0: THIN})}
    content = compared(searches)
    assert [(pair.device, pair.better, pair.sense) for pair in content.pairs] == [
        ("laptop", True, MEETS),
        ("phone", True, MEETS),
    ]
    laptop, _ = content.pairs
    assert laptop.own == PairSide(subnet="A", ms=2.0, score=score(0.93))
    assert laptop.other == PairSide(subnet="B", ms=6.4, score=score(0.932))
    assert (laptop.other_device, laptop.other_limit_ms) == ("phone", 25.0)
    assert laptop.same_score == pytest.approx((0.931 * 0.069 / 1000) ** 0.5, rel=1e-3)
    assert content.finding.startswith("On its own device, each choice is better than another device's in all 2")


def test_every_subnet_is_there_on_every_device_the_largest_last() -> None:
    content = compared()
    assert [subnet.name for subnet in content.subnets] == ["A", "B", "C", "largest"]
    wide, middle, _, largest = content.subnets
    assert wide.arch == WIDE and largest.arch == LARGEST
    assert wide.on["laptop"] == SubnetOnDevice(
        ms=2.0,
        of_largest=0.25,
        limits=(LimitRow(limit_ms=2.1, met=True), LimitRow(limit_ms=4.1, met=True)),
    )
    assert [limit.met for limit in middle.on["phone"].limits] == [False, True]
    assert largest.on["phone"].of_largest == 1.0
    assert wide.scores.validation["accuracy"].value == pytest.approx(0.94)  # as it was chosen
    assert wide.scores.test["accuracy"].value == 0.93
    assert largest.scores.validation["accuracy"].value == pytest.approx(0.99)  # evaluated, as nothing chose it
    assert {pair.reason for pair in content.pairs if not pair.better} == {SAME_SUBNET}


def test_one_device_alone_has_its_times_and_says_what_is_missing() -> None:
    content = compared({"laptop": SEARCHES["laptop"]}, devices=("laptop",))
    assert content.pairs == ()
    assert content.finding == "Only laptop was searched, so there is no other device's choice to compare with its own."
    assert set(content.subnets[0].on) == {"laptop"}


def test_labels_go_on_after_the_alphabet() -> None:
    assert [label(index) for index in (0, 25, 26, 51, 52, 702)] == ["A", "Z", "AA", "AZ", "BA", "AAA"]
