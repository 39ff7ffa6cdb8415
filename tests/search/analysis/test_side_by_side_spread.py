"""Mean, deviation and bands of fronts, by hand and by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from search.analysis.side_by_side import band, spread


def test_spread_is_of_the_sample() -> None:
    found = spread([0.9, 0.92, 0.97])
    assert found is not None
    assert (found.mean, found.least, found.most) == (pytest.approx(0.93), 0.9, 0.97)
    assert found.deviation == pytest.approx(np.std([0.9, 0.92, 0.97], ddof=1))


def test_one_value_has_no_deviation_and_none_no_spread() -> None:
    one = spread([0.5])
    assert one is not None
    assert one.deviation is None
    assert spread([]) is None


def test_band_is_what_each_front_reaches_within_a_latency(rng: np.random.Generator) -> None:
    fronts = [
        list(zip(np.sort(rng.uniform(1, 5, 6)).tolist(), np.sort(rng.uniform(0, 1, 6)).tolist(), strict=True))
        for _ in range(3)
    ]
    found = band(fronts, end_ms=9.0)
    assert found.ms[0] == max(front[0][0] for front in fronts)
    assert found.ms[-1] == 9.0
    for index, ms in enumerate(found.ms):
        reached = [max(accuracy for at, accuracy in front if at <= ms) for front in fronts]
        assert found.least[index] == min(reached)
        assert found.mean[index] == pytest.approx(np.mean(reached))
        assert found.most[index] == max(reached)


def test_band_of_nothing_is_empty() -> None:
    assert band([]).ms == ()
    assert band([[]]).ms == ()


def test_fronts_may_come_in_any_order_and_be_empty() -> None:
    first, second = [(1.0, 0.5), (3.0, 0.75)], [(2.0, 0.25), (4.0, 1.0)]
    found = band([second[::-1], [], first])
    assert found == band([first, second])
    assert found.ms == (2.0, 3.0, 4.0)  # at 1 ms the second has reached nothing
    assert found.mean == (0.375, 0.5, 0.875)
