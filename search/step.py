"""One step of a search: a trial is proposed and refused or claimed, and what is claimed is evaluated and told."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import Trial, TrialState

from ofa.errors import InvalidInput
from search.candidate import Candidate
from search.evaluation import Evaluation
from search.fidelities import evaluate_in_steps
from search.figures import number_text, unit
from search.history import History
from search.limits import violations
from search.notes import show_in_dashboard, write_note
from search.plan import SearchPlan
from search.propose import propose, trial_parameters
from search.reach import find_unseen
from search.samplers import SamplerContext
from search.trials import HISTORY, KILLED, REASON, STOPPED_AT, WORKER, write_candidate


@dataclass(frozen=True)
class Step:
    """A trial with its candidate; `refused` says what became of it where it is not to be evaluated."""

    trial: Trial
    candidate: Candidate
    figures: Mapping[str, float]
    refused: Mapping[str, str] | None = None

    @property
    def row(self) -> dict[str, Any]:
        """What a row of progress says of it from the start."""
        return {"trial": self.trial.number, **self.candidate.to_dict(), **self.figures, **(self.refused or {})}


def set_next(study: Study, plan: SearchPlan, start: list[Candidate], history: History) -> bool:
    """Sets the next candidate where it is not the sampler's to choose; False where there is none left."""
    if history.waiting:  # set, then cut off, or to be tried again
        return True
    if len(history.seen) >= plan.space.size:
        return False
    first = next((one for one in start if one not in history.seen), None)
    if first is not None:
        study.enqueue_trial(trial_parameters(first, plan.space))
    elif history.refused_in_a_row >= plan.refusals:
        targets = plan.limits.targets
        allowed = [plan.limits.allowed(targets[history.steps % len(targets)]), plan.limits.hard]
        rng = np.random.default_rng([plan.seed, history.steps, 1])
        near = [one for one in start if one in history.seen]
        seen = set(history.seen)
        found = (find_unseen(plan.space, plan.figures, limit, seen, rng, near=near) for limit in allowed)
        candidate = next((one for one in found if one is not None), None)
        if candidate is None:
            return False
        study.enqueue_trial(trial_parameters(candidate, plan.space))
    return True


def propose_step(study: Study, plan: SearchPlan, history: History, worker: str | None = None) -> Step:
    """Returns the next trial, proposed; told already where it is over a limit or known.

    Several workers make their proposals one after the other: each knows the candidates that the others have.
    """
    expected = plan.fidelities.expected if plan.fidelities is not None else None
    context = SamplerContext(plan.space, plan.figures, plan.limits, plan.seed, history.steps, history.running, expected)
    study.sampler = plan.sampler(context)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Heartbeat of storage")  # Optuna's own loop is not used
        trial = study.ask()
    candidate = propose(trial, plan.space)
    figures = {name: float(values[0]) for name, values in plan.figures([candidate]).items()}
    hard = plan.limits.hard
    excess = violations(figures, hard)
    write_candidate(trial, candidate, figures, excess)
    over = {name: hard[name] for name, value in excess.items() if value > 0}
    known = history.seen.get(candidate)
    if over:
        return Step(trial, candidate, figures, _refuse(study, trial, "infeasible", _over_text(over, figures)))
    if known is not None:
        return Step(trial, candidate, figures, _refuse(study, trial, "duplicate", f"the same as trial {known}"))
    if worker is not None:
        trial.set_user_attr(WORKER, worker)
    return Step(trial, candidate, figures)


def evaluate_step(study: Study, plan: SearchPlan, step: Step) -> dict[str, Any]:
    """Returns what the evaluation of a claimed trial came to, after telling it.

    A trial that was given up meanwhile, its worker being taken for dead, stays as it is: another has it by now.
    """
    try:
        return {**step.row, **_evaluate(study, plan, step)}
    except UpdateFinishedTrialError:
        return {**step.row, "state": "interrupted", "reason": KILLED}


def _refuse(study: Study, trial: Trial, state: str, reason: str) -> dict[str, str]:
    trial.set_user_attr(REASON, reason)
    write_note(trial, f"**{state}**, not evaluated: {reason}")
    study.tell(trial, state=TrialState.PRUNED)
    return {"state": state, "reason": reason}


def _evaluate(study: Study, plan: SearchPlan, step: Step) -> dict[str, Any]:
    trial, candidate = step.trial, step.candidate
    try:
        if plan.fidelities is None:
            evaluation = plan.evaluate(candidate)
        else:
            evaluation = evaluate_in_steps(study, trial, candidate, plan.evaluate, plan.fidelities)
        if not np.isfinite(evaluation.accuracy):
            raise InvalidInput(f"accuracy is {evaluation.accuracy}")
    except (
        InvalidInput,
        RuntimeError,
        MemoryError,
        FloatingPointError,
    ) as error:  # torch raises RuntimeError
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        trial.set_user_attr(REASON, reason)
        study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        return {"state": "failed", "reason": reason}
    told = {"accuracy": evaluation.accuracy, "seconds": evaluation.seconds, "cached": evaluation.cached}
    figures = {**step.figures, **evaluation.figures}
    for key, value in {**told, **evaluation.figures}.items():
        trial.set_user_attr(key, value)
    if evaluation.history:
        trial.set_user_attr(HISTORY, [dict(row) for row in evaluation.history])
    show_in_dashboard(plan, trial, candidate, figures, evaluation)
    if evaluation.stopped_at is not None:
        return {**told, **_give_up(study, trial, evaluation)}
    values = {**figures, "accuracy": evaluation.accuracy}
    study.tell(trial, [values[name] for name in plan.objectives], skip_if_finished=True)
    return {"state": "evaluated", **told}


def _give_up(study: Study, trial: Trial, evaluation: Evaluation) -> dict[str, Any]:
    trial.set_user_attr(STOPPED_AT, evaluation.stopped_at)
    trial.set_user_attr(REASON, f"given up after {evaluation.stopped_at} epochs at accuracy {evaluation.accuracy:.4f}")
    study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
    return {"state": "given up", "stopped_at": evaluation.stopped_at}


def _over_text(over: Mapping[str, float], figures: Mapping[str, float]) -> str:
    """The limits that are broken, by name, beside the figures."""
    return ", ".join(
        f"{name} {number_text(name, figures[name])} over {number_text(name, limit)} {unit(name)}"
        for name, limit in over.items()
    )
