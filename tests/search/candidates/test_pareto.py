"""Pareto arithmetic against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa.errors import InvalidInput
from search.candidates.pareto import crowding_distances, hypervolume, non_dominated, non_domination_ranks

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)


@given(POINTS)
@settings(deadline=None)
def test_front_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    def dominated(point: tuple[int, int]) -> bool:
        return any(o[0] <= point[0] and o[1] <= point[1] and o != point for o in points)

    front = non_dominated(np.array(points, dtype=float))
    assert front.tolist() == [not dominated(point) for point in points]


@given(POINTS)
@settings(deadline=None)
def test_hypervolume_counts_covered_cells(points: list[tuple[int, int]]) -> None:
    cells = {(x, y) for px, py in points for x in range(px, 5) for y in range(py, 5)}
    assert hypervolume(np.array(points, dtype=float), (5, 5)) == len(cells)


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=8))
def test_hypervolume_of_three_objectives_counts_covered_cells(points: list[tuple[int, int, int]]) -> None:
    cells = np.stack(np.meshgrid(*[np.arange(5)] * 3), axis=-1).reshape(-1, 3)
    covered = (np.array(points)[:, None] <= cells[None]).all(axis=2).any(axis=0).sum()
    assert hypervolume(np.array(points, dtype=float), (5, 5, 5)) == covered


def test_ranks_peel_fronts() -> None:
    points = np.array([[1, 1], [2, 2], [0, 3], [3, 3], [1, 1]], dtype=float)
    assert non_domination_ranks(points).tolist() == [0, 1, 0, 2, 0]


def test_crowding_is_infinite_at_the_ends_and_larger_where_emptier() -> None:
    distances = crowding_distances(np.array([[0, 9], [1, 8], [2, 7], [9, 0]], dtype=float))
    assert np.isinf(distances[[0, 3]]).all()
    assert distances[2] > distances[1]
    assert distances[1] == pytest.approx(2 / 9 + 2 / 9)


def test_points_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidInput, match="3 objectives"):
        hypervolume(np.zeros((2, 3)), (1, 1))
    with pytest.raises(InvalidInput, match="shape"):
        non_dominated(np.zeros(3))
