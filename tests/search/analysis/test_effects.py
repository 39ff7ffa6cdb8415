"""Effects: the architecture is taken out, and intervals hold what was planted as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from search.analysis.columns import Column, columns_of
from search.analysis.effects import Effect, effect_of
from tests.search.analysis.confounded import CHANGE, confounded


def effect(rng: np.random.Generator, count: int, *, adjusted: bool = True) -> Effect:
    candidates, accuracy = confounded(rng, count)
    columns = columns_of(candidates)
    (start,) = [column for column in columns if column.name == "start"]
    return effect_of(start, accuracy, [column for column in columns if column is not start] if adjusted else [])


def planted(found: Effect, high: int, low: int) -> float:
    return CHANGE[str(found.column.cells[high])] - CHANGE[str(found.column.cells[low])]


def test_what_the_size_does_is_not_taken_for_the_start(rng: np.random.Generator) -> None:
    found, naive = effect(rng, 400), effect(rng, 400, adjusted=False)
    gaps = {}
    for name, one in (("adjusted", found), ("naive", naive)):
        means = dict(zip([one.column.cells[cell] for cell in one.compared], one.means, strict=True))
        gaps[name] = means["inherit"] - means["rewind"]
    assert gaps["adjusted"] == pytest.approx(0, abs=0.003)
    assert gaps["naive"] > 0.01
    (fresh,) = [one for one in found.differences if found.column.cells[one.low] == "fresh"]
    assert fresh.is_significant
    assert fresh.mean == pytest.approx(0.01, abs=0.004)


def test_intervals_hold_what_was_planted_as_often_as_they_say(rng: np.random.Generator) -> None:
    found = [effect(rng, 60) for _ in range(60)]
    holds = [
        all(one.least <= planted(each, one.high, one.low) <= one.most for one in each.differences) for each in found
    ]
    assert np.mean(holds) >= 0.85  # 0.95, less what 60 repeats leave open
    assert all(
        low < mean < high for one in found for low, mean, high in zip(one.least, one.means, one.most, strict=True)
    )


def test_the_best_is_compared_with_each_other() -> None:
    column = Column("a", ("x", "y", "z"), np.repeat([0, 1, 2], 10))
    accuracy = np.repeat([0.5, 0.9, 0.7], 10) + np.tile([-0.001, 0.001], 15)
    found = effect_of(column, accuracy, [])
    assert found.means == pytest.approx([0.5, 0.9, 0.7])
    assert [(one.high, one.low) for one in found.differences] == [(1, 2), (1, 0)]
    assert [one.mean for one in found.differences] == pytest.approx([0.2, 0.4])
    assert all(one.is_significant for one in found.differences)


def test_values_that_were_tried_too_seldom_are_not_compared() -> None:
    column = Column("a", ("x", "y", "z"), np.array([0] * 6 + [1] * 3 + [2] * 6))
    found = effect_of(column, np.linspace(0.5, 0.6, 15), [])
    assert found.compared == (0, 2)
    assert len(found.means) == 2
    alone = effect_of(Column("a", ("x", "y"), np.array([0] * 6 + [1] * 3)), np.linspace(0.5, 0.6, 9), [])
    assert alone.means == alone.differences == ()
    assert "fewer than two values" in alone.not_compared


def test_a_setting_that_goes_with_another_is_not_told() -> None:
    codes = np.arange(20) % 2
    found = effect_of(Column("a", (0, 1), codes), np.linspace(0, 1, 20), [Column("twin", (0, 1), codes)])
    assert "cannot be separated" in found.not_compared
