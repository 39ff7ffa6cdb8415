"""Adjusted fits: leaving one out in closed form is leaving it out, and what others hide is refused."""

from __future__ import annotations

import numpy as np
import pytest

from search.analysis import effects as adjusted
from search.analysis.columns import columns_of
from search.analysis.effects import adjusted_fit, one_hot


def test_residuals_are_of_fits_without_the_row(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    penalty = 3.0
    monkeypatch.setattr(adjusted, "PENALTIES", [penalty])
    rows, target = rng.normal(size=(15, 4)), rng.normal(size=(15, 2)) + 0.5
    found = adjusted._unexplained(target, rows)
    for number in range(15):
        kept = np.arange(15) != number
        middle, height = rows[kept].mean(axis=0), target[kept].mean(axis=0)
        centred = rows[kept] - middle
        slopes = np.linalg.solve(centred.T @ centred + penalty * np.eye(4), centred.T @ (target[kept] - height))
        assert found[number] == pytest.approx(target[number] - height - (rows[number] - middle) @ slopes)


def test_without_others_it_is_least_squares(rng: np.random.Generator) -> None:
    design = rng.normal(size=(200, 2))
    target = design @ [0.5, -1.0] + 3.0 + rng.normal(0, 0.1, 200)
    fit = adjusted_fit(target, design, [])
    assert fit is not None
    assert fit.coefficients == pytest.approx([0.5, -1.0], abs=0.03)
    assert np.sqrt(np.diag(fit.covariance)) == pytest.approx([0.1 / 200**0.5] * 2, rel=0.4)
    assert fit.freedom == 197


def test_what_the_others_hide_is_not_told(rng: np.random.Generator) -> None:
    values = rng.integers(0, 2, 60)
    (same,) = columns_of([{"twin": int(value)} for value in values])
    target = values + rng.normal(size=60)
    assert adjusted_fit(target, values[:, None].astype(float), [same]) is None
    assert adjusted_fit(target, np.ones((60, 1)), []) is None
    assert adjusted_fit(target, values[:, None].astype(float), []) is not None


def test_one_hot_is_empty_where_a_column_does_not_count() -> None:
    columns = columns_of([{"a": 1}, {"b": "x"}, {"a": 2, "b": "x"}])
    assert one_hot(columns, 3).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 1]]
    assert one_hot([], 3).shape == (3, 0)
