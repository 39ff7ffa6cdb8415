"""Interactions: a planted one is seen, and where there is none that is seldom."""

from __future__ import annotations

import numpy as np

from search.analysis.columns import Column, columns_of
from search.analysis.together import Interaction, interaction_of
from tests.search.analysis.confounded import confounded


def interaction(rng: np.random.Generator, count: int, fall: float) -> Interaction:
    candidates, accuracy = confounded(rng, count, fall)
    columns = {column.name: column for column in columns_of(candidates, 4)}
    start, sparsity = columns.pop("start"), columns.pop("sparsity")
    found = interaction_of(start, sparsity, accuracy, list(columns.values()))
    assert found is not None
    return found


def test_a_planted_interaction_is_seen(rng: np.random.Generator) -> None:
    found = interaction(rng, 300, 0.05)
    assert found.chance < 1e-6
    assert (found.first, found.second, found.candidates) == ("start", "sparsity", 300)


def test_where_there_is_none_it_is_seldom_seen(rng: np.random.Generator) -> None:
    chances = [interaction(rng, 80, 0.0).chance for _ in range(60)]
    assert np.mean(np.array(chances) < 0.01) <= 0.1  # 0.01, less what 60 repeats leave open
    assert np.mean(np.array(chances) > 0.5) > 0.25


def test_without_combinations_there_is_nothing_to_see() -> None:
    ones, others = np.repeat([0, 1], 10), np.tile([0, 1], 10)
    first = Column("a", ("x", "y"), ones)
    accuracy = np.linspace(0, 1, 20)
    assert interaction_of(first, Column("b", ("x", "y"), ones), accuracy, []) is None
    assert interaction_of(first, Column("b", ("x",), np.where(ones == 0, 0, -1)), accuracy, []) is None
    assert interaction_of(first, Column("b", ("x",), np.full(20, -1)), accuracy, []) is None
    assert interaction_of(first, Column("b", ("x", "y"), others), accuracy, []) is not None
