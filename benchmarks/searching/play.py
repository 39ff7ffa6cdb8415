"""A study played in memory, with the decisions of `search.study.study.run_study` and none of its files."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from benchmarks.searching.problem import Problem
from ofa.task import Score
from search.candidates.feasible import find_unseen
from search.candidates.limits import Limits, violations
from search.candidates.space import Candidate, Evaluation
from search.candidates.trials import propose, trial_parameters, write_candidate
from search.run.scores import MetricFacts
from search.samplers import SamplerContext, SamplerFactory
from search.study.plan import SearchPlan, starting_candidates


@dataclass(frozen=True)
class Played:
    """What was evaluated, in order: accuracies and figures, each (evaluations,); and the sampler's seconds in all."""

    accuracies: np.ndarray[Any, np.dtype[np.float64]]
    figures: np.ndarray[Any, np.dtype[np.float64]]
    seconds: float
    refused: int  # proposals over the limit or known, which cost nothing


ACCURACY = MetricFacts(name="accuracy", title="accuracy", unit="%")


def play(problem: Problem, sampler: SamplerFactory, evaluations: int, seed: int) -> Played:
    """Returns the study of accuracy against the problem's figure under its largest limit."""
    limits = Limits(({problem.figure: max(problem.limits)},))
    plan = SearchPlan(
        name=problem.name,
        space=problem.space,
        figures=problem.figures,
        evaluate=lambda candidate: Evaluation({ACCURACY.name: Score(problem.accuracy(candidate), 1)}, 0.0),
        evaluations=evaluations,
        metrics=(ACCURACY,),
        limits=limits,
        objective=["accuracy", problem.figure],
        sampler=sampler,
        seed=seed,
    )
    study = optuna.create_study(directions=list(plan.objectives.values()))
    study.set_metric_names(list(plan.objectives))
    start = starting_candidates(plan)
    seen: set[Candidate] = set()
    found: list[tuple[float, float]] = []
    step = in_a_row = 0
    seconds = 0.0
    while len(found) < evaluations:
        begun = perf_counter()
        if step < len(start):
            study.enqueue_trial(trial_parameters(start[step], plan.space))
        elif in_a_row >= plan.refusals:
            rng = np.random.default_rng([seed, step, 1])
            near = [one for one in start if one in seen]
            other = find_unseen(plan.space, plan.figures, limits.hard, set(seen), rng, near=near)
            if other is None:
                break
            study.enqueue_trial(trial_parameters(other, plan.space))
        study.sampler = sampler(SamplerContext(plan.space, plan.figures, limits, seed, step))
        trial = study.ask()
        candidate = propose(trial, plan.space)
        figures = {name: float(values[0]) for name, values in plan.figures([candidate]).items()}
        excess = violations(figures, limits.hard)
        write_candidate(trial, candidate, figures, excess)
        seconds += perf_counter() - begun
        step += 1
        if candidate in seen or any(value > 0 for value in excess.values()):
            in_a_row += 1
            study.tell(trial, state=TrialState.PRUNED)
            continue
        in_a_row = 0
        seen.add(candidate)
        accuracy = problem.accuracy(candidate)
        found.append((accuracy, figures[problem.figure]))
        study.tell(trial, [accuracy, figures[problem.figure]])
    accuracies, costs = np.array(found).T
    return Played(accuracies, costs, seconds, step - len(found))
