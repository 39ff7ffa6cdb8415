"""AMC and the filter policy as samplers: feasible, new, equal after a kill, and better than chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa.choice import Choice
from ofa.errors import InvalidInput
from ofa.space import Space
from search.candidates.limits import Limits
from search.candidates.parameters import Number, OneOf
from search.candidates.space import Candidate, CandidateSpace, Evaluation
from search.candidates.trials import propose, trial_rows, write_candidate
from search.experiments import amc, filter_policy
from search.experiments.episode import FEATURES, ends_of, episode_of
from search.experiments.filter_policy_sampler import units_of
from search.samplers import SamplerContext, SamplerFactory
from search.samplers.candidate_sampler import goals_of, tightest
from search.samplers.genome import genomes_of
from search.study.plan import SearchPlan
from search.study.study import run_study
from tests.search.scored import ACCURACY, evaluation
from tests.search.synthetic import Oracle, block_space

Direction = Literal["maximize", "minimize"]
ORACLE = Oracle(block_space(stages=2, blocks=3))
LATENCIES = ORACLE.figures([ORACLE.space.sample(np.random.default_rng(i)) for i in range(200)])["latency_ms"]
JOINT = CandidateSpace(
    ORACLE.space,
    (
        OneOf("schedule", ("one_shot", "cubic")),
        Number("end", 0.1, 0.9, when=(("schedule", ("cubic",)),)),
        Number("rounds", 1, 4, whole=True),
        Number("sparsity", 0.0, 0.9),
    ),
)
WIDTHS = {"a": (8, 16, 24), "b": (8,), "c": (8, 16)}
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
NAMES = ["accuracy", "latency_ms", "bytes"]


def quick_amc(given: SamplerContext) -> optuna.samplers.BaseSampler:
    return amc(given, hidden=(16, 16), warmup=6, batch_size=8)


def quick_policy(given: SamplerContext) -> optuna.samplers.BaseSampler:
    return filter_policy(given, samples=4, tries=16)


def learns_soon(given: SamplerContext) -> optuna.samplers.BaseSampler:
    return amc(given, hidden=(32, 32), warmup=20, actor_rate=1e-3, batch_size=32)


SAMPLERS = [quick_amc, quick_policy]


def joint_figures(candidates: Sequence[Candidate]) -> Mapping[str, Any]:
    """Bytes go by the sparsity too, so that its largest value is the cheapest."""
    found = dict(ORACLE.figures([one.arch for one in candidates]))
    left = np.array([1 - float(one.values.get("sparsity", 0.0)) for one in candidates])
    return {**found, "bytes": found["bytes"] * left}


def context(*quantiles: float, space: CandidateSpace = ORACLE.candidates, **changes: Any) -> SamplerContext:
    targets = tuple({"latency_ms": float(np.quantile(LATENCIES, quantile))} for quantile in quantiles)
    return replace(SamplerContext(space, joint_figures, Limits(targets or ({},)), 0), **changes)


def search(
    sampler: SamplerFactory,
    given: SamplerContext,
    steps: int,
    directions: Sequence[Direction] = ("maximize",),
    score: Callable[[Candidate], float] = lambda one: ORACLE.accuracy(one.arch),
    forget: int = 0,
) -> list[Candidate]:
    """The proposals of a study; with `forget` it goes on in another object every so many steps, as after a kill."""
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(directions=list(directions), storage=storage, study_name="s")
    study.set_metric_names(NAMES[: len(directions)])
    found = []
    for step in range(steps):
        if forget and step % forget == 0:
            study = optuna.load_study(study_name="s", storage=storage)
        study.sampler = sampler(replace(given, step=step))
        trial = study.ask()
        candidate = propose(trial, given.space)
        figures = {name: float(values[0]) for name, values in given.figures([candidate]).items()}
        write_candidate(trial, candidate, figures, {})
        study.tell(trial, [score(candidate), figures["latency_ms"], figures["bytes"]][: len(directions)])
        found.append(candidate)
    return found


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("directions", [["maximize"], ["maximize", "minimize"], ["maximize", "minimize", "minimize"]])
@pytest.mark.parametrize("space", [ORACLE.candidates, JOINT], ids=["archs", "joint"])
def test_every_proposal_is_new_and_meets_the_target_of_its_step(
    space: CandidateSpace, directions: list[Direction], sampler: SamplerFactory
) -> None:
    given = context(0.1, 0.5, space=space)
    found = search(sampler, given, 10, directions)
    assert len(set(found)) == 10
    limits = [target["latency_ms"] for target in given.limits.targets]
    for step, latency in enumerate(given.figures(found)["latency_ms"]):
        assert latency <= limits[step % 2]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_that_goes_on_in_another_process_proposes_the_same(sampler: SamplerFactory) -> None:
    given = context(0.4, space=JOINT)
    whole = search(sampler, given, 12)
    assert search(sampler, given, 12, forget=3) == whole
    assert search(sampler, replace(given, seed=1), 4) != whole[:4]


@pytest.mark.parametrize("sampler", [pytest.param(quick_amc, marks=pytest.mark.slow), quick_policy])
def test_it_learns_what_is_worth_most(sampler: SamplerFactory) -> None:
    """Without a limit the best are candidates of large kernels and small widths, whatever the depth."""

    def score(one: Candidate) -> float:
        kernels, widths = one.arch.kernel_size.values(), one.arch.width.values()
        return float(np.mean(list(kernels)) / 7 - np.mean(list(widths)) / 48 + 1) / 2

    learner = learns_soon if sampler is quick_amc else sampler
    found = search(learner, context(), 70, score=score)
    scores = [score(one) for one in found]
    assert np.mean(scores[-20:]) > np.mean(scores[:20]) + 0.05


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_tiny_space_is_proposed_to_its_last_candidate(sampler: SamplerFactory) -> None:
    oracle = Oracle(
        Space((Choice("width", "a", (8, 16, 24)), Choice("width", "b", (8,)), Choice("width", "c", (8, 16))))
    )
    given = SamplerContext(oracle.candidates, oracle.candidate_figures, Limits(), 0)
    found = search(sampler, given, 6, score=lambda one: oracle.accuracy(one.arch))
    assert len(set(found)) == 6


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_where_nothing_is_allowed_it_still_proposes(sampler: SamplerFactory) -> None:
    def never(candidates: Sequence[Candidate]) -> Mapping[str, Any]:
        return {name: np.full(len(candidates), 9.0) for name in ("latency_ms", "bytes")}

    impossible = SamplerContext(JOINT, never, Limits(({"latency_ms": 1.0},)), 0)
    assert len(search(sampler, impossible, 2)) == 2


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_whole_study_with_refusals_and_failures(tmp_path: Path, sampler: SamplerFactory) -> None:
    def evaluate(candidate: Candidate) -> Evaluation:
        if candidate.digest[0] in "012":
            raise RuntimeError("out of memory")
        return evaluation(ORACLE.accuracy(candidate.arch), 0.001)

    plan = SearchPlan("s", JOINT, joint_figures, evaluate, 14, (ACCURACY,), context(0.3, 0.6).limits, sampler=sampler)
    result = run_study(plan, tmp_path / "j.log")
    assert result.evaluated == 14
    assert sum(row.state == "infeasible" for row in trial_rows(result.study)) == 0


@given(seed=st.integers(0, 2**32 - 1), quantile=st.floats(0.02, 1.0))
@settings(max_examples=25, deadline=None)
def test_whatever_the_actions_an_episode_keeps_its_goal(seed: int, quantile: float) -> None:
    rng, here = np.random.default_rng(seed), context(quantile, space=JOINT)
    goal = {**here.limits.targets[0], "bytes": float(0.5 * joint_figures([JOINT.largest])["bytes"][0])}
    episode = episode_of(here, ends_of(here), goal)
    candidate = episode.walk(lambda gene, genome: float(rng.random()))
    assert JOINT.candidate(candidate.arch, candidate.values) == candidate
    figures = joint_figures([candidate])
    assert all(figures[name][0] <= limit for name, limit in goal.items())


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_states_and_units_describe_any_candidate(seed: int) -> None:
    here = context(0.5, space=JOINT)
    ends, candidate = ends_of(here), JOINT.sample(np.random.default_rng(seed))
    genome = genomes_of(JOINT, [candidate])[0]
    genes = [gene for gene in ends.genes if not np.isnan(genome[gene.column])]
    goal = goals_of(here, ["latency_ms"])[tightest(here, goals_of(here, ["latency_ms"]), [candidate])[0]]
    states = episode_of(here, ends, goal).states(np.tile(np.nan_to_num(genome), (len(genes), 1)), genes)
    assert states.shape == (len(genes), FEATURES)
    assert ((states >= 0) & (states <= 1)).all()
    units = units_of(ends)
    keep, counted = units.actions(genome)
    assert not (keep & ~counted).any()
    back = units.genome(keep.tolist())
    for gene in genes:
        tolerance = 1 / 16 if gene.kind == "number" else 0.0
        assert abs(back[gene.column] - genome[gene.column]) <= tolerance + 1e-9


def test_goals_of_a_front_are_levels_of_each_limit() -> None:
    here = context(0.2, 0.8)
    assert goals_of(here, []) == [dict(target) for target in here.limits.targets]
    goals = goals_of(here, ["latency_ms"])
    assert len(goals) == 8
    assert goals[:2] == [dict(target) for target in here.limits.targets]
    least = float(ORACLE.figures([ORACLE.space.smallest])["latency_ms"][0])
    assert all(least < goal["latency_ms"] <= here.limits.hard["latency_ms"] for goal in goals)
    free = goals_of(context(), ["latency_ms"])
    assert free[0]["latency_ms"] == ORACLE.figures([ORACLE.space.largest])["latency_ms"][0]


@pytest.mark.parametrize(
    ("sampler", "options", "named"),
    [
        (amc, {"tries": 0}, "tries=0"),
        (amc, {"warmup": -1}, "warmup=-1"),
        (amc, {"noise": 0.0}, "noise=0.0"),
        (filter_policy, {"samples": 1}, "samples=1"),
        (filter_policy, {"learning_rate": 0.0}, "learning_rate=0.0"),
        (filter_policy, {"initial_keep": 1.0}, "initial_keep=1.0"),
    ],
)
def test_options_are_checked(sampler: Callable[..., Any], options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        sampler(context(), **options)
