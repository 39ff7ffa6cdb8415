"""The evolution: feasible, new, better than chance, and a function of what is finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import optuna
import pytest

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.candidates.limits import Limits
from search.candidates.pareto import best_first
from search.candidates.space import Candidate
from search.candidates.trials import propose, write_candidate
from search.samplers import EvolutionSampler, SamplerContext, evolution
from tests.search.synthetic import Oracle, block_space

Direction = Literal["maximize", "minimize"]
ORACLE = Oracle(block_space(stages=3, blocks=3))
SPACE = ORACLE.space
LATENCIES = ORACLE.figures([SPACE.sample(np.random.default_rng(i)) for i in range(200)])["latency_ms"]


def search(context: SamplerContext, steps: int, directions: Sequence[Direction], **options: Any) -> list[Arch]:
    study = optuna.create_study(directions=list(directions))
    archs = []
    for step in range(steps):
        study.sampler = evolution(
            SamplerContext(context.space, context.figures, context.limits, context.seed, step), **options
        )
        trial = study.ask()
        candidate = propose(trial, ORACLE.candidates)
        arch = candidate.arch
        figures = {name: float(values[0]) for name, values in ORACLE.figures([arch]).items()}
        write_candidate(trial, candidate, figures, {})
        values = [ORACLE.accuracy(arch), figures["latency_ms"], figures["peak_activation_bytes"]]
        study.tell(trial, values[: len(directions)])
        archs.append(arch)
    return archs


def context(*quantiles: float, seed: int = 0) -> SamplerContext:
    targets = tuple({"latency_ms": float(np.quantile(LATENCIES, quantile))} for quantile in quantiles)
    return SamplerContext(ORACLE.candidates, ORACLE.candidate_figures, Limits(targets or ({},)), seed)


@pytest.mark.parametrize("directions", [["maximize"], ["maximize", "minimize"], ["maximize", "minimize", "minimize"]])
def test_every_proposal_is_new_and_meets_the_target_of_its_step(directions: list[Direction]) -> None:
    given = context(0.05, 0.5)
    archs = search(given, 40, directions)
    assert len(set(archs)) == 40
    limits = [target["latency_ms"] for target in given.limits.targets]
    for step, latency in enumerate(ORACLE.figures(archs)["latency_ms"]):
        assert latency <= limits[step % 2]


@pytest.mark.slow
def test_it_beats_chance_under_the_limit() -> None:
    found, chance = [], []
    for seed in range(3):
        given = context(0.3, seed=seed)
        found.append(max(map(ORACLE.accuracy, search(given, 200, ["maximize"]))))
        chance.append(max(map(ORACLE.accuracy, search(given, 200, ["maximize"], startup_trials=200))))
    assert np.mean(found) > np.mean(chance) + 0.005


def test_a_step_depends_on_finished_trials_and_the_seed_alone() -> None:
    assert search(context(0.3), 30, ["maximize"]) == search(context(0.3), 30, ["maximize"])
    assert search(context(0.3), 5, ["maximize"]) != search(context(0.3, seed=1), 5, ["maximize"])


def test_where_nothing_is_allowed_it_still_proposes() -> None:
    def never(archs: Sequence[Candidate]) -> Mapping[str, np.ndarray[Any, Any]]:
        return {"latency_ms": np.full(len(archs), 9.0)}

    impossible = SamplerContext(ORACLE.candidates, never, Limits(({"latency_ms": 1.0},)), 0)
    assert len(search(impossible, 3, ["maximize"], tries=16)) == 3


def test_best_first_is_by_rank_then_by_room() -> None:
    points = np.array([[0, 9], [1, 8], [2, 7], [9, 0], [9, 9]], dtype=float)
    order = best_first(points)
    assert set(order[:2]) == {0, 3}
    assert order[2:] == [2, 1, 4]
    assert best_first(np.array([[3.0], [1.0], [2.0]])) == [1, 2, 0]


@pytest.mark.parametrize("options", [{"parents": 1.5}, {"mutation": -0.1}, {"population": 1}, {"startup_trials": 0}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        EvolutionSampler(context(), **options)
