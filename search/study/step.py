"""One step of a search: a trial is proposed, then refused, or claimed, evaluated and reported to Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import Trial, TrialState

from ofa.errors import InvalidInput
from ofa.records import content_of
from ofa.task import Score
from search.candidates.feasible import find_unseen
from search.candidates.figures import number_text, unit
from search.candidates.limits import violations
from search.candidates.metric_limits import metric_violations
from search.candidates.space import Candidate, Evaluation
from search.candidates.trials import (
    HISTORY,
    KILLED,
    REASON,
    SCORES,
    STOPPED_AT,
    WORKER,
    TrialProgress,
    candidate_of,
    propose,
    state_of,
    trial_parameters,
    write_candidate,
    write_violations,
)
from search.run.scores import MetricFacts, with_first
from search.samplers import SamplerContext
from search.study.fidelities import evaluate_in_steps
from search.study.plan import SearchPlan
from search.study.trial_attributes import show_in_dashboard, write_note
from search.study.uninterrupted import UninterruptedPruner, UninterruptedSampler


@dataclass(frozen=True)
class TrialCounts:
    """Counts over a study's trials, without interrupted ones: a search resumes as if never interrupted."""

    steps: int  # trials finished or running
    running: int  # being evaluated by other workers
    evaluated: int  # evaluated, successfully or not
    failures: int
    last_failure: str
    refused_in_a_row: int  # the latest in a row that were over a limit or duplicates
    waiting: bool  # a trial is enqueued and not started
    seen: Mapping[Candidate, int]  # the number of the trial of each candidate evaluated or running


def read_history(study: Study) -> TrialCounts:
    """Returns the TrialCounts of the current trials of a study."""
    steps = running = evaluated = failures = refused = 0
    waiting, last_failure = False, ""
    seen: dict[Candidate, int] = {}
    for trial in study.get_trials(deepcopy=False):
        waiting = waiting or trial.state == TrialState.WAITING
        if trial.state == TrialState.WAITING or (state := state_of(trial)) == "interrupted":
            continue
        steps += 1
        if state in ("infeasible", "duplicate"):
            refused += 1
            continue
        refused = 0
        running += state == "running"
        evaluated += state != "running"
        if (candidate := candidate_of(trial)) is not None:
            seen[candidate] = trial.number
        if state == "failed":
            failures += 1
            last_failure = str(trial.user_attrs.get(REASON, ""))
    return TrialCounts(steps, running, evaluated, failures, last_failure, refused, waiting, seen)


@dataclass(frozen=True)
class Step:
    """A trial with its candidate; `refused` holds its state and the reason if it is not to be evaluated."""

    trial: Trial
    candidate: Candidate
    figures: Mapping[str, float]
    refused: tuple[str, str] | None = None

    def ended(self, state: str, reason: str = "", score: Score | None = None) -> TrialProgress:
        """Returns the progress that the end of this trial is."""
        return TrialProgress(state, reason, self.trial.number, score, self.figures)


def set_next(study: Study, plan: SearchPlan, start: list[Candidate], history: TrialCounts) -> bool:
    """Enqueues the next candidate if the sampler is not to choose it; returns False if no candidate is left."""
    if history.waiting:  # enqueued before an interruption, or to be retried
        return True
    if len(history.seen) >= plan.space.size:
        return False
    first = next((candidate for candidate in start if candidate not in history.seen), None)
    if first is not None:
        study.enqueue_trial(trial_parameters(first, plan.space))
    elif history.refused_in_a_row >= plan.refusals:
        targets = plan.limits.targets
        allowed = [plan.limits.allowed(targets[history.steps % len(targets)]), plan.limits.hard]
        rng = np.random.default_rng([plan.seed, history.steps, 1])
        near = [candidate for candidate in start if candidate in history.seen]
        seen = set(history.seen)
        replacements = (find_unseen(plan.space, plan.figures, limit, seen, rng, near=near) for limit in allowed)
        candidate = next((replacement for replacement in replacements if replacement is not None), None)
        if candidate is None:
            return False
        study.enqueue_trial(trial_parameters(candidate, plan.space))
    return True


def propose_step(study: Study, plan: SearchPlan, history: TrialCounts, worker: str | None = None) -> Step:
    """Returns the next proposed trial; already reported as pruned if it is over a limit or a duplicate.

    Several workers propose one after the other: each knows the candidates of the others.
    """
    expected = plan.fidelities.expected if plan.fidelities is not None else None
    context = SamplerContext(
        plan.space,
        plan.figures,
        plan.limits,
        plan.seed,
        history.steps,
        history.running,
        expected,
        fractions=plan.metric.is_fraction,
    )
    pruner = plan.fidelities.pruner if plan.fidelities is not None else None
    study.pruner = UninterruptedPruner(pruner or NopPruner())
    sampler = plan.sampler(context)
    study.sampler = UninterruptedSampler(sampler, pruner or NopPruner())
    trial, candidate = _proposed(study, plan, type(sampler))
    figures = {name: float(values[0]) for name, values in plan.figures([candidate]).items()}
    hard = plan.limits.hard
    excess = violations(figures, hard)
    write_candidate(trial, candidate, figures, excess)
    over = {name: hard[name] for name, value in excess.items() if value > 0}
    duplicate_of = history.seen.get(candidate)
    if over:
        return Step(trial, candidate, figures, _refuse(study, trial, "infeasible", _over_text(over, figures)))
    if duplicate_of is not None:
        return Step(trial, candidate, figures, _refuse(study, trial, "duplicate", f"the same as trial {duplicate_of}"))
    if worker is not None:
        trial.set_user_attr(WORKER, worker)
    return Step(trial, candidate, figures)


def evaluate_step(study: Study, plan: SearchPlan, step: Step) -> TrialProgress:
    """Returns the end of a claimed trial after evaluating and reporting it.

    A trial whose worker was meanwhile taken for dead stays as it is: another worker retries its candidate.
    """
    try:
        return _evaluate(study, plan, step)
    except UpdateFinishedTrialError:
        return step.ended("interrupted", KILLED)


def _proposed(study: Study, plan: SearchPlan, sampler: type[BaseSampler]) -> tuple[Trial, Candidate]:
    """The next trial and the candidate that the sampler chose.

    Raises:
        InvalidInput: a foreign sampler cannot choose in this search.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Heartbeat of storage")  # Optuna's own loop is not used
            trial = study.ask()
        return trial, propose(trial, plan.space)
    except (ValueError, TypeError, RuntimeError, NotImplementedError, ImportError) as error:
        if sampler.__module__.partition(".")[0] == "search":
            raise
        reason = " ".join(str(error).split("\n\n")[0].split()) or type(error).__name__
        raise InvalidInput(f"sampler {sampler.__name__} cannot propose in this search: {reason}") from error


def _refuse(study: Study, trial: Trial, state: str, reason: str) -> tuple[str, str]:
    trial.set_user_attr(REASON, reason)
    write_note(trial, f"**{state}**, not evaluated: {reason}")
    study.tell(trial, state=TrialState.PRUNED)
    return state, reason


def _evaluate(study: Study, plan: SearchPlan, step: Step) -> TrialProgress:
    trial, candidate = step.trial, step.candidate
    try:
        if plan.fidelities is None:
            evaluation = plan.evaluate(candidate)
        else:
            evaluation = evaluate_in_steps(study, trial, candidate, plan.evaluate, plan.fidelities, plan.metric)
        _check_finite(evaluation)
    except (
        InvalidInput,
        RuntimeError,
        MemoryError,
        ArithmeticError,
        ValueError,
    ) as error:  # torch raises RuntimeError, a user's metric any of them
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        trial.set_user_attr(REASON, reason)
        study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        return step.ended("failed", reason)
    scores = with_first(evaluation.scores, plan.metric.name)
    results = {SCORES: msgspec.to_builtins(scores), "seconds": evaluation.seconds, "cached": evaluation.cached}
    figures = {**step.figures, **evaluation.figures}
    for key, value in {**results, **evaluation.figures}.items():
        trial.set_user_attr(key, value)
    if evaluation.history:
        trial.set_user_attr(HISTORY, [content_of(row) for row in evaluation.history])
    write_violations(trial, metric_violations(scores, plan.metric_limits, plan.metrics))
    show_in_dashboard(plan, trial, candidate, figures, evaluation)
    if evaluation.stopped_at is not None:
        _give_up(study, trial, evaluation, plan.metric)
        return step.ended("given up", score=evaluation.score)
    values = {**figures, plan.metric.name: evaluation.score.value}
    study.tell(trial, [values[name] for name in plan.objectives], skip_if_finished=True)
    return step.ended("evaluated", score=evaluation.score)


def _check_finite(evaluation: Evaluation) -> None:
    for name, score in evaluation.scores.items():
        if not np.isfinite(score.value):
            raise InvalidInput(f"{name} is {score.value}")


def _give_up(study: Study, trial: Trial, evaluation: Evaluation, metric: MetricFacts) -> None:
    trial.set_user_attr(STOPPED_AT, evaluation.stopped_at)
    reached = metric.named_text(evaluation.score)
    trial.set_user_attr(REASON, f"given up after {evaluation.stopped_at} epochs at {reached}")
    study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)


def _over_text(over: Mapping[str, float], figures: Mapping[str, float]) -> str:
    """The figures that are over their limits, with these limits."""
    return ", ".join(
        f"{name} {number_text(name, figures[name])} over {number_text(name, limit)} {unit(name)}"
        for name, limit in over.items()
    )
