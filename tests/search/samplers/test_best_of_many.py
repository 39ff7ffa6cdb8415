"""Samplers that look at few of many trials choose as if they looked at all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from optuna.study import StudyDirection

from search.candidates.pareto import best_first
from search.samplers.evolution_sampler import _Best
from search.samplers.guided_sampler import MOST, learned_from


@pytest.mark.parametrize("objectives", [1, 2, 3])
@pytest.mark.parametrize("levels", [5, 1000])
def test_the_best_of_all_are_among_those_kept(objectives: int, levels: int) -> None:
    rng = np.random.default_rng(objectives)
    directions = [StudyDirection.MAXIMIZE, *[StudyDirection.MINIMIZE] * (objectives - 1)]
    best, points = _Best(25, directions, {}), []
    for number in range(400):
        values = rng.integers(levels, size=objectives).astype(np.float64)
        points.append(values * [-1.0, *[1.0] * (objectives - 1)])
        trial: Any = SimpleNamespace(values=values.tolist(), user_attrs={}, constraints={})
        best.add(trial, number)  # type: ignore[arg-type]
        if number % 40 == 39:
            assert best.first(25) == best_first(np.array(points))[:25]
    assert best.eligible == 400


def test_what_is_learned_from_has_the_best_of_every_size() -> None:
    rng = np.random.default_rng(0)
    sizes, qualities = rng.random(5000), rng.random(5000)
    chosen = learned_from(sizes, qualities, rng)
    assert len(chosen) == len(set(chosen.tolist())) == MOST
    assert (np.diff(chosen) > 0).all()
    small = np.argsort(sizes)[:100]
    assert small[np.argmax(qualities[small])] in chosen
