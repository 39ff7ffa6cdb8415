"""The guided search: feasible, new, better than chance, and a function of what is finished; also with settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import optuna
import pytest

from ofa.choice import Choice
from ofa.errors import InvalidInput
from ofa.space import Space
from search.candidates.figures import CandidateFigures
from search.candidates.limits import Limits
from search.candidates.parameters import Number, OneOf
from search.candidates.space import Candidate, CandidateSpace
from search.candidates.trials import propose, write_candidate
from search.samplers import SamplerContext, guided, random
from search.samplers.guided_sampler import GuidedSampler
from tests.search.synthetic import Oracle, block_space

Direction = Literal["maximize", "minimize"]
ORACLE = Oracle(block_space(stages=3, blocks=3))
LATENCIES = ORACLE.figures([ORACLE.space.sample(np.random.default_rng(i)) for i in range(200)])["latency_ms"]
JOINT = CandidateSpace(
    ORACLE.space,
    (
        OneOf("schedule", ("one_shot", "cubic")),
        Number("end", 0.1, 0.9, when=(("schedule", ("cubic",)),)),
        Number("sparsity", 0.0, 0.9),
    ),
)
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
NAMES = ["accuracy", "latency_ms", "peak_activation_bytes"]
QUICK = {"startup_trials": 10, "batch": 5, "generations": 4, "children": 60, "parents": 20}


def accuracy(candidate: Candidate) -> float:
    """Of the Arch, less what its settings cost."""
    lost = 0.2 * (float(candidate.values.get("sparsity", 0.0)) - 0.3) ** 2
    return ORACLE.accuracy(candidate.arch) - lost - 0.02 * (candidate.values.get("schedule") == "one_shot")


def search(
    context: SamplerContext,
    steps: int,
    directions: Sequence[Direction],
    sampler: Any = guided,
    score: Callable[[Candidate], float] = accuracy,
    **options: Any,
) -> list[Candidate]:
    study = optuna.create_study(directions=list(directions))
    study.set_metric_names(NAMES[: len(directions)])
    found = []
    for step in range(steps):
        here = SamplerContext(context.space, context.figures, context.limits, context.seed, step)
        study.sampler = sampler(here, **(QUICK | options if sampler is guided else {}))
        trial = study.ask()
        candidate = propose(trial, context.space)
        figures = {name: float(values[0]) for name, values in context.figures([candidate]).items()}
        write_candidate(trial, candidate, figures, {})
        values = [score(candidate), figures["latency_ms"], figures["peak_activation_bytes"]]
        study.tell(trial, values[: len(directions)])
        found.append(candidate)
    return found


def context(
    *quantiles: float,
    seed: int = 0,
    space: CandidateSpace = ORACLE.candidates,
    figures: CandidateFigures = ORACLE.candidate_figures,
) -> SamplerContext:
    targets = tuple({"latency_ms": float(np.quantile(LATENCIES, quantile))} for quantile in quantiles)
    return SamplerContext(space, figures, Limits(targets or ({},)), seed)


@pytest.mark.parametrize("directions", [["maximize"], ["maximize", "minimize"], ["maximize", "minimize", "minimize"]])
@pytest.mark.parametrize("space", [ORACLE.candidates, JOINT], ids=["archs", "joint"])
def test_every_proposal_is_new_and_within_the_loosest_limit(space: CandidateSpace, directions: list[Direction]) -> None:
    given = context(0.1, 0.5, space=space)
    found = search(given, 30, directions)
    assert len(set(found)) == 30
    assert (given.figures(found)["latency_ms"] <= given.limits.hard["latency_ms"]).all()
    tightest = min(target["latency_ms"] for target in given.limits.targets)
    assert (given.figures(found)["latency_ms"] <= tightest).sum() >= 10  # targets take turns


@pytest.mark.parametrize("space", [ORACLE.candidates, JOINT], ids=["archs", "joint"])
def test_it_beats_chance_under_the_limit(space: CandidateSpace) -> None:
    best, chance = [], []
    for seed in range(3):
        given = context(0.4, seed=seed, space=space)
        best.append(max(map(accuracy, search(given, 40, ["maximize"]))))
        drawn = search(given, 120, ["maximize"], random)
        allowed = given.figures(drawn)["latency_ms"] <= given.limits.hard["latency_ms"]
        chance.append(max(accuracy(one) for one, good in zip(drawn, allowed, strict=True) if good))
    assert np.mean(best) > np.mean(chance) + 0.005


def test_a_step_depends_on_finished_trials_and_the_seed_alone() -> None:
    assert search(context(0.3), 22, ["maximize"]) == search(context(0.3), 22, ["maximize"])
    assert search(context(0.3), 22, ["maximize"]) != search(context(0.3, seed=1), 22, ["maximize"])


@pytest.mark.parametrize("steps", [3, 12])  # in the design, and in a batch
def test_a_tiny_space_is_proposed_to_its_last_candidate(steps: int) -> None:
    """Where a batch runs out, what comes is allowed and new until nothing of that kind is left."""
    space = Space((Choice("width", "a", (8, 16, 24, 32)), Choice("width", "b", (8, 16, 24, 32))))
    oracle = Oracle(space)
    times = oracle.figures(list(space.every()))["latency_ms"]
    limit = float(np.quantile(times, 0.8))
    tiny = SamplerContext(oracle.candidates, oracle.candidate_figures, Limits(({"latency_ms": limit},)), 0)
    allowed = int((times <= limit).sum())
    found = search(tiny, allowed, ["maximize"], startup_trials=steps, score=lambda one: oracle.accuracy(one.arch))
    assert len(set(found)) == allowed
    assert (tiny.figures(found)["latency_ms"] <= limit).all()


@pytest.mark.slow
def test_where_nothing_is_allowed_it_still_proposes() -> None:
    def never(candidates: Sequence[Candidate]) -> Mapping[str, np.ndarray[Any, Any]]:
        return {"latency_ms": np.full(len(candidates), 9.0), "peak_activation_bytes": np.full(len(candidates), 9.0)}

    impossible = SamplerContext(ORACLE.candidates, never, Limits(({"latency_ms": 1.0},)), 0)
    assert len(search(impossible, 12, ["maximize"])) == 12


@pytest.mark.parametrize("options", [{"startup_trials": 1}, {"batch": 0}, {"children": 1}, {"optimism": -1.0}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        GuidedSampler(context(), **options)
