"""The axis of a metric: in order, inside what is shown, and labeled."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.report.figures import MOST_TICKS, score_axis
from tests.search.scored import ACCURACY


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_positions_are_in_order_and_shown(accuracy: list[float]) -> None:
    axis = score_axis(ACCURACY, accuracy)
    positions = [axis.position(value) for value in sorted(accuracy)]
    assert positions == sorted(positions)
    low, high = axis.frame["range"]
    assert all(math.isfinite(position) and low <= position <= high for position in positions)
    ticks = axis.frame["tickvals"]
    assert 2 <= len(ticks) <= MOST_TICKS + 1 and ticks == sorted(ticks)
    assert low <= ticks[0] and ticks[-1] <= high


def test_round_accuracies_are_labeled() -> None:
    axis = score_axis(ACCURACY, [0.1, 0.95, 0.985])
    assert axis.frame["ticktext"][0] == "20"
    assert axis.position(0.9) == pytest.approx(1)
    assert axis.position(1.0) == axis.position(0.985)  # beyond what is shown


def test_points_say_their_own_accuracy() -> None:
    axis = score_axis(ACCURACY, [0.5, 0.9])
    trace = axis.points([1.0], [0.9], "trials", "$dot", ["trial 3"])
    assert trace["text"] == ["90.00 %<br>trial 3"]
    assert trace["y"] == [pytest.approx(1)]
