"""One step of a search: a trial is proposed, then refused, or claimed, evaluated and reported to Optuna."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import Trial, TrialState

from ofa.errors import InvalidInput
from ofa.records import content_of
from ofa.task import Score
from search.candidates.feasible import find_unseen
from search.candidates.figures import number_text, unit
from search.candidates.history import StudyHistory, history_of
from search.candidates.limits import violations
from search.candidates.metric_limits import metric_violations
from search.candidates.optuna_internals import claimed_trial, storage_of, study_id, trial_id
from search.candidates.space import Candidate, Evaluation
from search.candidates.trials import (
    ENDED,
    HISTORY,
    REASON,
    RESUMED,
    SCORES,
    STOPPED_AT,
    TrialProgress,
    candidate_of,
    figures_of,
    propose,
    trial_parameters,
    write_candidate,
    write_violations,
)
from search.engine.engine import FAILURES, first_line
from search.run.scores import MetricFacts, with_first
from search.samplers import SamplerContext
from search.study.plan import SearchPlan
from search.study.trial_attributes import show_in_dashboard, write_note


@dataclass(frozen=True)
class Step:
    """A trial with its candidate; `refused` holds its state and the reason if it is not to be evaluated.

    `resumed` is when its evaluation was begun again, where a kill had ended it.
    """

    trial: Trial
    candidate: Candidate
    figures: Mapping[str, float]
    refused: tuple[str, str] | None = None
    resumed: datetime | None = None

    def ended(self, state: str, reason: str = "", score: Score | None = None) -> TrialProgress:
        """Returns the progress that the end of this trial is."""
        return TrialProgress(state, reason, self.trial.number, score, self.figures)


def set_next(study: Study, plan: SearchPlan, start: list[Candidate], history: StudyHistory) -> bool:
    """Enqueues the next candidate if the sampler is not to choose it; returns False if no candidate is left."""
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
        replacements = (find_unseen(plan.space, plan.figures, limit, history.seen, rng, near=near) for limit in allowed)
        candidate = next((replacement for replacement in replacements if replacement is not None), None)
        if candidate is None:
            return False
        study.enqueue_trial(trial_parameters(candidate, plan.space))
    return True


def propose_step(study: Study, plan: SearchPlan, history: StudyHistory, evaluators: int = 1) -> Step:
    """Returns the next proposed trial, claimed; or reported as pruned if it is over a limit or a duplicate.

    `evaluators` is how many candidates are evaluated at once.
    """
    _use_parts(study, plan, history, history.steps, evaluators)
    trial, candidate = _proposed(study, plan, type(study.sampler))
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
    return Step(claimed_trial(study, storage_of(study).claim()), candidate, figures)


def _use_parts(study: Study, plan: SearchPlan, history: StudyHistory, step: int, evaluators: int = 1) -> None:
    """Gives a study the pruner of the plan, and its sampler for a step."""
    expected = plan.fidelities.expected if plan.fidelities is not None else None
    context = SamplerContext(
        plan.space,
        plan.figures,
        plan.limits,
        plan.seed,
        step,
        len(history.running),
        expected,
        fractions=plan.metric.is_fraction,
        evaluators=evaluators,
    )
    pruner = plan.fidelities.pruner if plan.fidelities is not None else None
    study.pruner = pruner or NopPruner()
    study.sampler = plan.sampler(context)


def resumed_steps(study: Study, plan: SearchPlan) -> list[Step]:
    """Returns the trials that a driver had claimed when it died, to be evaluated again."""
    steps = []
    for trial in storage_of(study).open_trials():
        claimed = claimed_trial(study, trial_id(trial))
        if (candidate := candidate_of(trial)) is None:
            claimed.set_user_attr(REASON, "another program began it, without a candidate")
            study.tell(claimed, state=TrialState.FAIL)
        else:
            steps.append(Step(claimed, candidate, figures_of(trial), resumed=datetime.now()))
    if steps:  # its sampler is told the end of the last that it proposed
        history = history_of(study)
        _use_parts(study, plan, history, history.steps - 1)
    return steps


def _proposed(study: Study, plan: SearchPlan, sampler: type[BaseSampler]) -> tuple[Trial, Candidate]:
    """The next trial and the candidate that the sampler chose.

    Raises:
        InvalidInput: a foreign sampler cannot choose in this search.
    """
    try:
        trial = study.ask()
        return trial, propose(trial, plan.space)
    except (ValueError, TypeError, RuntimeError, NotImplementedError, ImportError) as error:
        if sampler.__module__.partition(".")[0] == "search":
            raise
        reason = " ".join(str(error).split("\n\n")[0].split()) or type(error).__name__
        raise InvalidInput(f"sampler {sampler.__name__} cannot propose in this search: {reason}") from error


def _refuse(study: Study, trial: Trial, state: str, reason: str) -> tuple[str, str]:
    trial.set_user_attr(REASON, reason)
    _tell(study, trial, TrialState.PRUNED)
    storage = storage_of(study)
    written = claimed_trial(study, storage.get_trial_id_from_study_id_trial_number(study_id(study), trial.number))
    write_note(written, f"**{state}**, not evaluated: {reason}")
    storage.write_notes()
    return state, reason


def _tell(study: Study, trial: Trial, state: TrialState, values: Sequence[float] | None = None) -> None:
    """Ends a trial, with its place among the ended ones where that is not its number."""
    position = storage_of(study).ended
    if position != trial.number:
        trial.set_user_attr(ENDED, position)
    study.tell(trial, values, state=state)


def conclude(study: Study, plan: SearchPlan, step: Step, future: Future[Evaluation]) -> TrialProgress:
    """Returns the end of a claimed trial after reporting to Optuna what came of its evaluation.

    Raises:
        Exception: what no candidate fails with.
    """
    trial, candidate = step.trial, step.candidate
    if step.resumed is not None:
        trial.set_user_attr(RESUMED, step.resumed.isoformat())
    try:
        evaluation = future.result()
        _check_finite(evaluation)
    except FAILURES as error:
        reason = first_line(error)
        trial.set_user_attr(REASON, reason)
        _tell(study, trial, TrialState.FAIL)
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
    _tell(study, trial, TrialState.COMPLETE, [values[name] for name in plan.objectives])
    return step.ended("evaluated", score=evaluation.score)


def _check_finite(evaluation: Evaluation) -> None:
    for name, score in evaluation.scores.items():
        if not np.isfinite(score.value):
            raise InvalidInput(f"{name} is {score.value}")


def _give_up(study: Study, trial: Trial, evaluation: Evaluation, metric: MetricFacts) -> None:
    trial.set_user_attr(STOPPED_AT, evaluation.stopped_at)
    reached = metric.named_text(evaluation.score)
    trial.set_user_attr(REASON, f"given up after {evaluation.stopped_at} epochs at {reached}")
    _tell(study, trial, TrialState.PRUNED)


def _over_text(over: Mapping[str, float], figures: Mapping[str, float]) -> str:
    """The figures that are over their limits, with these limits."""
    return ", ".join(
        f"{name} {number_text(name, figures[name])} over {number_text(name, limit)} {unit(name)}"
        for name, limit in over.items()
    )
