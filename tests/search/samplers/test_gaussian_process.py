"""The Gaussian process: pairs are learned, what is known is certain, and the parts of a prediction agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.candidates.pareto import Floats
from search.samplers.gaussian_process import Kernel, fit_gaussian_process


def points(count: int, seed: int) -> tuple[Floats, Floats]:
    """Two blocks of features, of 6 and 2."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, (count, 6)) / 2, rng.normal(size=(count, 2))


def test_what_a_pair_is_worth_together_is_learned_from_few() -> None:
    known, new = points(60, 0), points(200, 1)

    def worth(blocks: tuple[Floats, Floats]) -> Floats:
        """No feature matters alone: each is worth as much as it loses, by its partner."""
        centred = blocks[0] - 0.5
        return np.asarray(centred[:, 0] * centred[:, 1] + centred[:, 2] * centred[:, 5])

    mean, _ = fit_gaussian_process(known, worth(known), np.random.default_rng(0)).predict(new)
    assert np.square(mean - worth(new)).mean() < 0.1 * worth(new).var()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 30))
def test_deviations_are_those_of_the_covariance_and_less_where_it_was_observed(seed: int, count: int) -> None:
    known, rng = points(count, seed), np.random.default_rng(seed)
    process = fit_gaussian_process(known, rng.normal(size=count), rng)
    new = points(20, seed + 1)
    _, deviation = process.predict(new)
    assert np.diag(process.covariance(new)) == pytest.approx(deviation**2, rel=1e-3, abs=1e-6 * process.unit**2)
    _, observed = process.predict(known)
    assert observed.max() ** 2 <= process.noise + 1e-4 * process.unit**2


@settings(deadline=None)
@given(st.lists(st.floats(1e-3, 1e3), min_size=9, max_size=9))
def test_a_kernel_is_its_logarithms(values: list[float]) -> None:
    kernel = Kernel(tuple(values[:3]), tuple(values[3:6]), *values[6:])
    again = Kernel.of_logarithms(kernel.logarithms)
    assert again.logarithms == pytest.approx(kernel.logarithms)
    assert again.quadratic == pytest.approx(kernel.quadratic)
