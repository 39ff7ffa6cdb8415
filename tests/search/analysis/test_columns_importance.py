"""Importance: what was planted comes out, and what cannot count does not."""

from __future__ import annotations

import numpy as np
import pytest

from search.analysis.columns import importances


def candidates(rng: np.random.Generator, count: int = 120) -> list[dict[str, bool | int | float | str]]:
    made: list[dict[str, bool | int | float | str]] = []
    for _ in range(count):
        depth, schedule = int(rng.integers(1, 3)), str(rng.choice(["cubic", "linear"]))
        one: dict[str, bool | int | float | str] = {"depth": depth, "schedule": schedule, "idle": int(rng.integers(5))}
        made.append(one | ({"width": int(rng.choice([8, 16, 24]))} if depth == 2 else {}))
    return made


def test_what_decides_comes_first_and_the_shares_sum_to_one(rng: np.random.Generator) -> None:
    known = candidates(rng)
    target = [0.1 * int(one.get("width", 0)) + (one["schedule"] == "cubic") for one in known]
    shares = importances(known, target)
    assert list(shares) == sorted(shares, key=lambda name: -shares[name])
    assert sum(shares.values()) == pytest.approx(1)
    assert set(list(shares)[:3]) == {"width", "schedule", "depth"}
    assert shares["idle"] < 0.03
    assert importances(known, target) == shares


def test_a_choice_is_shuffled_among_those_that_have_it_alone(rng: np.random.Generator) -> None:
    """The depth alone decides: a width that only deep candidates have must not be given its place."""
    known = candidates(rng)
    shares = importances(known, [float(int(one["depth"])) for one in known])
    assert shares["depth"] > 0.95


def test_nothing_is_said_of_few_candidates_or_a_constant_target(rng: np.random.Generator) -> None:
    known = candidates(rng)
    assert set(importances(known, [0.5] * len(known)).values()) == {0.0}
    assert set(importances(known[:5], [0.1, 0.2, 0.3, 0.4, 0.5]).values()) == {0.0}
