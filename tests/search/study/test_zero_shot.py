"""Zero-shot: what is learned from Archs in the supernet tells good ones apart, once for all jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa.errors import InvalidInput
from search.candidates.limits import Limits
from search.candidates.space import Candidate
from search.config.read import converted
from search.config.tuning import Tuning
from search.samplers import random
from search.study.fidelities import Fidelities
from search.study.plan import starting_candidates
from search.study.zero_shot import ZeroShot, of_archs
from tests.search.scored import evaluation
from tests.search.study.synthetic_plan import ORACLE, Counting, plan


def zero_shot(folder: Path, evaluations: int = 40) -> tuple[ZeroShot, Counting]:
    counting = Counting()
    return ZeroShot(plan(counting, sampler=random, evaluations=evaluations), folder / "archs.json"), counting


def test_it_ranks_archs_that_it_has_not_seen_and_ignores_their_settings(tmp_path: Path) -> None:
    learned, _ = zero_shot(tmp_path, 80)
    learned.learn()
    rng = np.random.default_rng(1)
    archs = [ORACLE.space.sample(rng) for _ in range(200)]
    expected = learned([Candidate(arch) for arch in archs])
    exact = [ORACLE.accuracy(arch) for arch in archs]
    assert np.corrcoef(expected, exact)[0, 1] > 0.5
    pruned = learned([Candidate(arch, (("sparsity", 0.9),)) for arch in archs])
    np.testing.assert_array_equal(pruned, expected)


def test_it_is_evaluated_once_for_all_jobs(tmp_path: Path) -> None:
    first, counting = zero_shot(tmp_path)
    first.learn()
    made = len(counting.asked)
    assert made == 40
    second, other = zero_shot(tmp_path)
    rows: list[Any] = []
    second.learn(rows.append)
    assert not other.asked
    assert not rows
    some = [Candidate(ORACLE.space.sample(np.random.default_rng(seed))) for seed in range(5)]
    np.testing.assert_array_equal(first(some), second(some))


def test_too_few_archs_say_nothing(tmp_path: Path) -> None:
    learned, _ = zero_shot(tmp_path, 4)
    learned.learn()
    assert learned([ORACLE.candidates.largest, ORACLE.candidates.smallest]).tolist() == [0, 0]


def test_the_best_for_each_target_keep_its_limit(tmp_path: Path) -> None:
    learned, counting = zero_shot(tmp_path)
    learned.learn()
    times = ORACLE.figures(counting.asked)["latency_ms"]
    tight = float(np.quantile(times, 0.3))
    found = learned.best(Limits(({"latency_ms": tight, "bytes": 1.0}, {"latency_ms": float(times.max())}, {})))
    within = [arch for arch, ms in zip(counting.asked, times, strict=True) if ms <= tight]
    assert set(found) == {max(some, key=ORACLE.accuracy) for some in (within, counting.asked)}
    assert learned.best(Limits(({"latency_ms": float(times.min()) / 2},))) == []


def test_a_search_with_fine_tuning_begins_with_the_best_archs(tmp_path: Path) -> None:
    learned, counting = zero_shot(tmp_path)
    learned.learn()
    times = ORACLE.figures(counting.asked)["latency_ms"]
    targets = ({"latency_ms": float(np.quantile(times, 0.4))}, {"latency_ms": float(times.max())})
    fidelities = Fidelities(lambda candidate, gate: evaluation(0.5, 0.0), expected=learned)
    start = starting_candidates(plan(limits=Limits(targets), fidelities=fidelities))
    assert {Candidate(arch) for arch in learned.best(Limits(targets))} <= set(start)
    assert start[0] == ORACLE.candidates.smallest
    assert len(start) <= 4  # beside them the smallest and the largest that is allowed


def test_before_it_has_learned_it_refuses(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"archs\.json does not exist"):
        zero_shot(tmp_path)[0]([ORACLE.candidates.largest])


def test_a_limit_on_the_bytes_of_pruned_candidates_is_none_of_archs() -> None:
    limits = Limits(({"latency_ms": 1.0, "bytes": 10.0}, {"latency_ms": 1.0, "bytes": 20.0}), 0.1)
    assert of_archs(limits) == Limits(({"latency_ms": 1.0},), 0.1)
    assert of_archs(Limits(({"bytes": 10.0},))) == Limits(({},))


@pytest.mark.parametrize("value", [True, -1, 3, 2.0, "10"])
def test_counts_that_cannot_be_used(value: Any) -> None:
    with pytest.raises(InvalidInput, match="zero_shot="):
        converted({"zero_shot": value}, Tuning, "search.tuning")
