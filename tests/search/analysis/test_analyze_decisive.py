"""What decides: planted shares, a pair, choices that do not count everywhere, and a forest that predicts nothing."""

from __future__ import annotations

import numpy as np
import pytest

from search.analysis.analyze import decisive
from search.run.cards import Setting

Candidates = list[dict[str, Setting]]


def drawn(rng: np.random.Generator, count: int, names: str) -> Candidates:
    return [{name: int(rng.integers(3)) for name in names} for _ in range(count)]


def centred(one: dict[str, Setting], name: str) -> float:
    return float(one[name]) - 1


def test_shares_of_an_additive_function(rng: np.random.Generator) -> None:
    known = drawn(rng, 400, "abcd")
    found = decisive(known, [2 * centred(one, "a") + centred(one, "b") for one in known])
    assert found is not None
    assert list(found.mains)[:2] == ["a", "b"]
    assert list(found.mains.values()) == pytest.approx([0.8, 0.2, 0, 0], abs=0.06)
    assert found.held_out > 0.95
    assert found.candidates == 400
    assert all(share < 0.02 for *_, share in found.pairs)


def test_an_interaction_is_the_strongest_pair(rng: np.random.Generator) -> None:
    known = drawn(rng, 600, "abcd")
    target = [centred(one, "a") + centred(one, "c") * centred(one, "b") for one in known]
    found = decisive(known, target)
    assert found is not None
    one, other, share = found.pairs[0]
    assert {one, other} == {"b", "c"}
    assert share == pytest.approx(0.4, abs=0.1)
    assert found.mains["b"] < 0.05 and found.mains["c"] < 0.05


def test_a_setting_that_counts_sometimes_gets_what_it_decides_there(rng: np.random.Generator) -> None:
    """Whether it counts is decided by another: that one alone must get the credit for it."""
    known: Candidates = []
    for _ in range(500):
        start = str(rng.choice(["inherit", "fresh"]))
        known.append({"start": start} | ({"initializer": str(rng.choice(["a", "b"]))} if start == "fresh" else {}))
    start_alone = decisive(known, [float(one["start"] == "fresh") for one in known])
    assert start_alone is not None
    assert start_alone.mains["start"] > 0.98
    assert start_alone.mains["initializer"] < 0.01
    both = decisive(known, [float(one.get("initializer") == "a") for one in known])
    assert both is not None  # a half of the candidates, a half of those: 1/16 each, and 1/16 together
    assert both.mains == pytest.approx({"start": 1 / 3, "initializer": 1 / 3}, abs=0.08)
    assert both.pairs[0][2] == pytest.approx(1 / 3, abs=0.08)


def test_a_forest_that_predicts_nothing_says_so(rng: np.random.Generator) -> None:
    known = drawn(rng, 60, "abcdefgh")
    found = decisive(known, rng.normal(size=60).tolist())
    assert found is not None
    assert found.held_out < 0.1


def test_the_same_candidates_give_the_same(rng: np.random.Generator) -> None:
    known = drawn(rng, 30, "ab")
    target = [centred(one, "a") for one in known]
    assert decisive(known, target) == decisive(known, target)


def test_nothing_decides_where_nothing_varies() -> None:
    assert decisive([{"a": 1}, {"a": 2}], [0.5, 0.5]) is None
    assert decisive([{"a": 1}, {"a": 1}], [0.5, 0.6]) is None
    assert decisive([], []) is None
