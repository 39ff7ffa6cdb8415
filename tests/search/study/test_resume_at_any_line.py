"""A search that dies between any two lines of its journal proposes, when continued, what it would have proposed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from search.candidates.limits import Limits
from search.candidates.parameters import Number, OneOf
from search.candidates.space import Candidate, CandidateSpace, Evaluation
from search.evaluation.tune import Gate
from search.experiments import amc, filter_policy
from search.samplers import SamplerContext, evolution, gp, guided, nsga2, nsga3, random, tpe
from search.study.fidelities import Fidelities
from search.study.plan import SearchPlan
from tests.search.scored import ACCURACY, evaluation
from tests.search.study.cut_journals import continued, cuts_of_every_kind, uncut
from tests.search.synthetic import Oracle, block_space

EPOCHS = 3
ORACLE = Oracle(block_space(stages=2, blocks=2))
LARGEST = float(ORACLE.figures([ORACLE.space.largest])["latency_ms"][0])
PARAMETERS = (
    Number("sparsity", 0.0, 0.98, start=0.8),
    OneOf("criterion", ("magnitude", "taylor")),
    Number("rate", 0.1, 4.0, log=True, when=(("criterion", ("taylor",)),)),
)


def qmc(context: SamplerContext) -> optuna.samplers.BaseSampler:
    """Optuna's, which counts its draws in the study."""
    return optuna.samplers.QMCSampler(seed=context.seed, independent_sampler=random(context))


SAMPLERS = {
    "guided": partial(guided, startup_trials=5, batch=4, generations=2, children=24, parents=8),
    "evolution": partial(evolution, startup_trials=5),
    "tpe": partial(tpe, startup_trials=5),
    "gp": partial(gp, startup_trials=10),
    "nsga2": partial(nsga2, population=4),
    "nsga3": partial(nsga3, population=4),
    "random": random,
    "qmc": qmc,
    "amc": partial(amc, warmup=5, hidden=(8, 8), batch_size=8),
    "filter_policy": partial(filter_policy, samples=4),
}


QUICK = [(name, True) for name in SAMPLERS if name not in ("gp", "amc")] + [("guided", False), ("nsga2", False)]


def fine_tune(candidate: Candidate, gate: Gate) -> Evaluation:
    """Comes nearer with every epoch to an accuracy that depends on Arch and settings."""
    settings = candidate.values
    best = ORACLE.accuracy(candidate.arch) - 0.3 * float(settings["sparsity"]) ** 3
    rows: list[dict[str, Any]] = []
    for epoch in range(1, EPOCHS + 1):
        rows.append({"epoch": epoch, "value": best - 0.1 / epoch})
        if epoch < EPOCHS and not gate(epoch, rows[-1]["value"]):
            return evaluation(rows[-1]["value"], 0.1, history=tuple(rows), stopped_at=epoch)
    size = 1e5 * (1.0 - float(settings["sparsity"]))
    return evaluation(rows[-1]["value"], 0.1, figures={"bytes": size}, history=tuple(rows))


def plan(sampler: str, *, joint: bool, **fidelities: Any) -> SearchPlan:
    steps = Fidelities(fine_tune, **({"rungs": (0, 1), "least": 3} | fidelities)) if joint else None
    return SearchPlan(
        name="s",
        space=CandidateSpace(ORACLE.space, PARAMETERS if joint else ()),
        figures=ORACLE.candidate_figures,
        evaluate=lambda candidate: evaluation(ORACLE.accuracy(candidate.arch), 0.0),
        evaluations=12,
        metrics=(ACCURACY,),
        limits=Limits(({"latency_ms": 0.8 * LARGEST},)),
        sampler=SAMPLERS[sampler],
        fidelities=steps,
        objective="accuracy" if "pruner" in fidelities else ["accuracy", "latency_ms", "bytes"] if joint else "pareto",
    )


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(("sampler", "joint"), QUICK)
def test_the_same_candidates_after_a_death(tmp_path: Path, sampler: str, joint: bool) -> None:
    make_plan = partial(plan, sampler, joint=joint)
    wanted, lines = uncut(make_plan, tmp_path)
    cuts = cuts_of_every_kind(lines, np.random.default_rng(0))
    for cut in cuts[3 :: len(cuts) // 2]:
        assert continued(make_plan, lines, [cut], tmp_path) == wanted, f"died after line {cut}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("joint", [True, False], ids=["joint", "plain"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_candidates_after_a_death_at_a_line_of_every_kind(tmp_path: Path, sampler: str, joint: bool) -> None:
    make_plan = partial(plan, sampler, joint=joint)
    wanted, lines = uncut(make_plan, tmp_path)
    for cut in cuts_of_every_kind(lines, np.random.default_rng(1)):
        assert continued(make_plan, lines, [cut], tmp_path) == wanted, f"died after line {cut}"


@pytest.mark.parametrize("sampler", ["guided", "nsga2", "amc"])
def test_the_same_candidates_after_three_deaths(tmp_path: Path, sampler: str) -> None:
    make_plan = partial(plan, sampler, joint=True)
    wanted, lines = uncut(make_plan, tmp_path)
    size = len(lines)
    assert continued(make_plan, lines, [size // 3, size // 2, size - 20], tmp_path) == wanted


def test_what_a_dead_process_found_at_a_rung_counts_for_nothing(tmp_path: Path) -> None:
    make_plan = partial(plan, "random", joint=True)
    wanted, lines = uncut(make_plan, tmp_path)
    rungs = [place for place, line in enumerate(lines, start=1) if b"quality_at_epoch_" in line]
    for cut in rungs[6::4]:
        assert continued(make_plan, lines, [cut], tmp_path) == wanted, f"died after line {cut}"


def test_a_candidate_half_written_is_none(tmp_path: Path) -> None:
    make_plan = partial(plan, "evolution", joint=True)
    wanted, lines = uncut(make_plan, tmp_path)
    halves = [place for place, line in enumerate(lines, start=1) if b'"settings"' in line or b'"arch"' in line]
    for cut in halves[:6]:  # of candidates that are set, and of the sampler's own
        assert continued(make_plan, lines, [cut], tmp_path) == wanted, f"died after line {cut}"


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    "pruner",
    [
        optuna.pruners.MedianPruner(n_startup_trials=3),
        optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
        optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EPOCHS, reduction_factor=2),
    ],
    ids=lambda pruner: type(pruner).__name__,
)
def test_optunas_pruners_give_up_the_same(tmp_path: Path, pruner: optuna.pruners.BasePruner) -> None:
    make_plan = partial(plan, "tpe", joint=True, rungs=(0,), pruner=pruner)
    wanted, lines = uncut(make_plan, tmp_path)
    reports = [place for place, line in enumerate(lines, start=1) if b"intermediate_value" in line]
    for cut in reports[4::4]:
        assert continued(make_plan, lines, [cut], tmp_path) == wanted, f"died after line {cut}"
