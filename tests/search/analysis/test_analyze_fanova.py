"""Functional ANOVA: what leaves give is what every combination of cells gives, and planted shares come out."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeRegressor

from search.analysis.analyze import decompose, leaves_of


def table(trees: list[DecisionTreeRegressor], cells: list[int]) -> np.ndarray:
    """The mean of the trees in every combination of cells, an axis a column."""
    every = np.array(list(product(*map(range, cells))), dtype=np.float64)
    return np.mean([tree.predict(every) for tree in trees], axis=0).reshape(cells)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.lists(st.integers(2, 4), min_size=2, max_size=4))
def test_the_decomposition_is_that_of_every_combination(seed: int, cells: list[int]) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, cells, (40, len(cells))).astype(np.float64)
    trees = [DecisionTreeRegressor(random_state=seed).fit(codes, rng.normal(size=40)) for _ in range(3)]
    found = decompose([leaves_of(tree.tree_, cells) for tree in trees], cells)
    values = table(trees, cells)
    axes = range(len(cells))
    alone = {axis: values.mean(axis=tuple(other for other in axes if other != axis)) for axis in axes}
    assert found.marginals == pytest.approx(np.concatenate([alone[axis] for axis in axes]))
    assert found.mains == pytest.approx([alone[axis].var() for axis in axes])
    for one, other in combinations(axes, 2):
        both = values.mean(axis=tuple(axis for axis in axes if axis not in (one, other)))
        rest = both - alone[one][:, None] - alone[other][None, :] + values.mean()
        assert found.pairs[one, other] == pytest.approx((rest**2).mean())
    assert found.pairs == pytest.approx(found.pairs.T)


def test_known_variances_of_an_additive_function_and_of_a_product() -> None:
    cells = [3, 3, 3, 2]
    codes = np.array(list(product(*map(range, cells))), dtype=np.float64)
    centred = codes - codes.mean(axis=0)
    target = 2 * centred[:, 0] + centred[:, 1] + centred[:, 1] * centred[:, 2]
    tree = DecisionTreeRegressor().fit(codes, target).tree_
    found = decompose([leaves_of(tree, cells)], cells)
    variance = 2 / 3  # of -1, 0, 1
    assert found.mains == pytest.approx([4 * variance, variance, 0, 0], abs=1e-12)
    pairs = np.zeros((4, 4))
    pairs[1, 2] = pairs[2, 1] = variance**2
    assert found.pairs == pytest.approx(pairs, abs=1e-12)
