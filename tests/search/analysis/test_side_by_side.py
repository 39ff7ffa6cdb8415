"""Searches side by side: an equal number of candidates each, and the volume that a search dominates."""

from __future__ import annotations

import pytest

from search.analysis.side_by_side import TunedCandidate, TunedSearch, at_equal_number, best_within, limits_of, volumes
from tests.search.scored import ACCURACY

FIRST = TunedSearch(
    "first",
    (TunedCandidate(0.9, 2.0, 400, 3), TunedCandidate(None, 1.0, 100, 1), TunedCandidate(0.8, 1.0, 200, 3)),
    ACCURACY,
)
SECOND = TunedSearch("second", (TunedCandidate(0.7, 1.0, 100, 3), TunedCandidate(0.95, 2.0, 400, 3)), ACCURACY)


def test_searches_are_cut_to_the_shortest() -> None:
    first, second = at_equal_number([FIRST, SECOND])
    assert len(first.tuned) == len(second.tuned) == 2
    assert (first.epochs, second.epochs) == (4, 6)
    assert [one.quality for one in first.finished] == [0.9]


def test_what_was_given_up_reaches_nothing() -> None:
    assert best_within(FIRST, 1.0, 150) is None
    assert best_within(FIRST, 1.0, 200) == 0.8
    assert best_within(FIRST, 5.0, 500) == 0.9


def test_volumes_grow_in_one_box() -> None:
    first, second = volumes([FIRST, SECOND])
    assert len(first) == 3 and len(second) == 2
    assert first == sorted(first) and second == sorted(second)
    # The box: errors 0.05 to 0.3, 1 to 2 ms, 100 to 400 bytes. (0.8, 1 ms, 200) dominates 0.4 by 1 by 2/3 of it.
    assert first == pytest.approx([0.0, 0.0, 0.4 * 2 / 3])
    assert second == [0.0, 0.0]  # its ends are the corners of the box
    worse = TunedSearch("worse", (*FIRST.tuned, TunedCandidate(0.1, 9.0, 9000, 3)), ACCURACY)
    assert volumes([worse, SECOND])[0][:3] == pytest.approx(first)


def test_figures_that_do_not_vary_do_not_count() -> None:
    flat = TunedSearch("flat", (TunedCandidate(0.9, 1.0, 200, 1), TunedCandidate(0.8, 1.0, 100, 1)), ACCURACY)
    (shares,) = volumes([flat])
    assert shares == [0.0, 0.0]
    ((single,),) = volumes([TunedSearch("one", (TunedCandidate(0.9, 1.0, 200, 1),), ACCURACY)])
    assert single == 0.0


def test_limits_are_met_by_shares_of_the_candidates() -> None:
    search = TunedSearch(
        "many", tuple(TunedCandidate(0.9, 0.01234 * number, 1001.0 * number, 1) for number in range(1, 10)), ACCURACY
    )
    limits = limits_of([search])
    assert len(limits) == 9
    assert limits[0] == (0.0371, 3010.0)
    met = [sum(one.latency_ms <= ms for one in search.finished) for ms in sorted({ms for ms, _ in limits})]
    assert met == [3, 6, 9]
