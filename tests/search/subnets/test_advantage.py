"""The rule: in what sense one subnet is better than another under a limit, and never both ways."""

from __future__ import annotations

import itertools

import pytest

from ofa.task import Score
from search.subnets.advantage import (
    BETTER,
    BETTER_IN_BOTH,
    MEETS,
    NOT_BETTER,
    OF_THE_OTHER,
    OVER,
    QUICKER,
    SAME,
    Side,
    advantage,
    decide,
    meets,
    resolution,
)

NOISE = {"same_time": 0.02, "same_score": 0.005}
LIMIT = 4.0

CASES = [
    # own ms, own accuracy, other ms, other accuracy, sense, reason; the limit is 4 ms
    (3.9, 0.90, 4.5, 0.95, MEETS, ""),
    (3.9, 0.95, 4.5, 0.90, MEETS, ""),
    (2.0, 0.95, 3.0, 0.90, BETTER_IN_BOTH, ""),
    (5.0, 0.95, 6.0, 0.90, BETTER_IN_BOTH, ""),  # both over the limit
    (3.9, 0.95, 3.0, 0.90, BETTER, ""),
    (2.0, 0.950, 3.0, 0.954, QUICKER, ""),
    (4.5, 0.90, 3.9, 0.95, NOT_BETTER, OF_THE_OTHER[MEETS]),
    (4.5, 0.99, 3.9, 0.90, NOT_BETTER, OF_THE_OTHER[MEETS]),  # what is over the limit does not count as accurate
    (3.0, 0.90, 2.0, 0.95, NOT_BETTER, OF_THE_OTHER[BETTER_IN_BOTH]),
    (3.0, 0.90, 3.9, 0.95, NOT_BETTER, OF_THE_OTHER[BETTER]),  # quicker is no use within the limit
    (3.0, 0.954, 2.0, 0.950, NOT_BETTER, OF_THE_OTHER[QUICKER]),
    (3.0, 0.950, 3.03, 0.954, NOT_BETTER, SAME),
    (4.07, 0.950, 4.09, 0.950, NOT_BETTER, SAME),  # the limit lies between times that are the same
    (5.0, 0.90, 6.0, 0.95, NOT_BETTER, OVER),
]


@pytest.mark.parametrize(("own_ms", "own_accuracy", "other_ms", "other_accuracy", "sense", "reason"), CASES)
def test_senses_and_reasons(
    own_ms: float, own_accuracy: float, other_ms: float, other_accuracy: float, sense: str, reason: str
) -> None:
    found = decide(Side(own_ms, own_accuracy), Side(other_ms, other_accuracy), LIMIT, **NOISE)
    assert (found.sense, found.reason) == (sense, reason)
    assert found.better == (sense != NOT_BETTER)


def test_never_better_both_ways() -> None:
    grid = [Side(ms, accuracy) for ms in (3.0, 3.9, 4.0, 4.05, 4.1, 5.0) for accuracy in (0.9, 0.904, 0.91, 0.95)]
    seen = set()
    for one, other in itertools.product(grid, repeat=2):
        senses = advantage(one, other, LIMIT, **NOISE), advantage(other, one, LIMIT, **NOISE)
        assert None in senses
        seen |= set(senses)
    assert seen == {MEETS, BETTER_IN_BOTH, BETTER, QUICKER, None}


def test_a_time_that_is_the_same_as_the_limit_meets_it() -> None:
    assert meets(4.07, LIMIT, 0.02)
    assert not meets(4.09, LIMIT, 0.02)
    assert not meets(4.07, LIMIT, 0.0)


def test_resolution_is_the_standard_error() -> None:
    one, other = Score(0.9, 900, 0.01), Score(0.8, 900, 0.02)
    assert resolution(one, one) == pytest.approx(0.01)
    assert resolution(one, other) == pytest.approx((0.00025) ** 0.5)
    assert resolution(Score(0.9, 900), one) == 0.0
