"""The quality model: learned shares of what is expected, where ruined candidates do not hide the good ones."""

from __future__ import annotations

import numpy as np
import pytest

from search.candidates.figures import Floats
from search.candidates.space import Candidate
from search.samplers.quality_model import GAP, Pool, fit_quality, pool_of
from tests.search.samplers.test_guided_sampler import JOINT, ORACLE


def drawn(count: int, seed: int) -> tuple[list[Candidate], Floats, Floats]:
    """Candidates, what is expected of their Archs, and the accuracy that is left: high sparsity ruins them."""
    rng = np.random.default_rng(seed)
    candidates = [JOINT.sample(rng) for _ in range(count)]
    expected = np.array([ORACLE.accuracy(one.arch) for one in candidates])
    sparsity = np.array([float(one.values["sparsity"]) for one in candidates])
    kept = np.where(sparsity > 0.6, 0.15, 1.0 - 0.1 * sparsity)
    return candidates, expected, expected * kept


def pool(candidates: list[Candidate], expected: Floats | None) -> Pool:
    figures = ORACLE.figures([one.arch for one in candidates])
    return pool_of(JOINT, candidates, {"latency_ms": figures["latency_ms"]}, expected)


def test_it_ranks_those_that_are_not_ruined_by_what_is_expected_of_them() -> None:
    some, expected, accuracies = drawn(60, 0)
    model = fit_quality(pool(some, expected), accuracies, np.random.default_rng(0))
    others, hoped, exact = drawn(200, 1)
    known = pool(others, hoped)
    mean, deviation = model.predict(known)
    found = model.quality(mean, known)
    good = np.array([float(one.values["sparsity"]) < 0.5 for one in others])
    assert np.corrcoef(found[good], exact[good])[0, 1] > 0.8
    assert found[good].mean() > found[~good].mean() + 0.1
    assert (deviation > 0).all()


def test_no_prediction_is_far_above_the_best_share_so_far() -> None:
    some, expected, accuracies = drawn(40, 0)
    known = pool(some, expected)
    model = fit_quality(known, accuracies, np.random.default_rng(0))
    ceiling = expected * (float((accuracies / expected).max()) + GAP)
    np.testing.assert_array_less(model.quality(np.full(40, 5.0), known), ceiling)
    shares = accuracies / expected
    np.testing.assert_allclose(model.quality(-np.log(shares.max() + GAP - shares), known), accuracies)


def test_archs_alone_are_learned_as_they_are() -> None:
    archs = [Candidate(one.arch) for one in drawn(30, 0)[0]]
    space, accuracies = ORACLE.candidates, np.array([ORACLE.accuracy(one.arch) for one in archs])
    known = pool_of(space, archs, {"latency_ms": ORACLE.figures([one.arch for one in archs])["latency_ms"]})
    model = fit_quality(known, accuracies, np.random.default_rng(0))
    assert model.ceiling is None
    mean, _ = model.predict(known)
    np.testing.assert_array_equal(model.quality(mean, known), mean)


def test_pools_join_and_split_with_what_is_expected() -> None:
    some, expected, _ = drawn(6, 0)
    whole, parts = pool(some, expected), (pool(some[:2], expected[:2]), pool(some[2:], expected[2:]))
    joined = parts[0].join(parts[1])
    np.testing.assert_array_equal(joined.before, whole.before)
    assert joined.candidates == whole.candidates
    np.testing.assert_array_equal(whole.take([4, 1]).before, expected[[4, 1]])
    assert pool(some, None).before == pytest.approx(1)
    assert len(pool(some, None).blocks) == len(whole.blocks) - 1
