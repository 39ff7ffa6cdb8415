"""What Optuna's samplers make of candidates over a limit."""

from __future__ import annotations

import numpy as np
import optuna
from optuna.trial import TrialState

from search.candidates.limits import Limits, violations
from search.candidates.trials import propose, write_candidate
from search.samplers import SamplerContext, SamplerFactory, random, tpe
from tests.search.synthetic import Oracle, block_space

ORACLE = Oracle(block_space(stages=2, blocks=3))
LIMIT = {"latency_ms": float(ORACLE.figures([ORACLE.space.largest])["latency_ms"][0]) * 0.45}


def infeasible_share(sampler: SamplerFactory, trials: int = 100) -> float:
    """The fraction of the last half of `trials` that is over the limit; only the rest is evaluated."""
    study = optuna.create_study(directions=["maximize", "minimize"])
    over = []
    for step in range(trials):
        context = SamplerContext(ORACLE.candidates, ORACLE.candidate_figures, Limits((LIMIT,)), seed=0, step=step)
        study.sampler = sampler(context)
        trial = study.ask()
        candidate = propose(trial, ORACLE.candidates)
        arch = candidate.arch
        figures = {name: float(values[0]) for name, values in ORACLE.figures([arch]).items()}
        excess = violations(figures, LIMIT)
        write_candidate(trial, candidate, figures, excess)
        over.append(excess["latency_ms"] > 0)
        if over[-1]:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, [ORACLE.accuracy(arch), figures["latency_ms"]])
    return float(np.mean(over[trials // 2 :]))


def test_tpe_learns_from_what_was_never_evaluated() -> None:
    share = infeasible_share(random)
    assert 0.5 < share < 1
    assert infeasible_share(tpe) < 0.6 * share


def test_a_sampler_is_a_function_of_seed_and_step() -> None:
    def drawn(seed: int, step: int) -> dict[str, int]:
        study = optuna.create_study(
            sampler=random(SamplerContext(ORACLE.candidates, ORACLE.candidate_figures, Limits(), seed, step))
        )
        return dict(propose(study.ask(), ORACLE.candidates).arch.values)

    assert drawn(0, 1) == drawn(0, 1)
    assert drawn(0, 1) != drawn(0, 2)
    assert drawn(0, 1) != drawn(1, 1)
