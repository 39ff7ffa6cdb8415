"""run_study: propose, refuse what breaks a limit, evaluate the rest; stopped and continued at any moment."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.study import Study
from optuna.trial import Trial, TrialState

from ofa.errors import InvalidInput
from search.candidate import Candidate
from search.evaluation import Evaluation
from search.fidelities import evaluate_in_steps
from search.figures import number_text, unit
from search.history import History, read_history
from search.limits import violations
from search.notes import show_in_dashboard, write_note
from search.plan import SearchPlan, starting_candidates
from search.propose import propose, trial_parameters
from search.reach import check_reachable, find_unseen
from search.samplers import SamplerContext
from search.storage import only_runner, open_journal
from search.trials import HISTORY, INTERRUPTED, REASON, STOPPED_AT, write_candidate

FAILED_AT_FIRST = 5  # so many evaluations, all failed: the supernet is at fault, not a candidate

Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class SearchResult:
    """A study and how many candidates it has evaluated, in all and in this call.

    `stopped` says why it ended before the asked number; it is empty where it did not.
    """

    study: Study
    evaluated: int
    evaluated_now: int
    stopped: str = ""


def run_study(plan: SearchPlan, journal: Path, progress: Progress | None = None) -> SearchResult:
    """Returns the study of `plan`, kept in the file `journal`, once it holds `plan.evaluations` evaluations.

    What is over a limit by prediction is never evaluated: it is told as pruned, with its constraints, and
    does not count; nor does a candidate that the study has evaluated before. A study that was cut off goes on
    with the very proposals it would have made. `progress` gets a dictionary a trial.

    Raises:
        InvalidInput: a limit that nothing meets (at once), a study of another plan, or an evaluation that
        always fails.
    """
    check_reachable(plan.space, plan.figures, plan.limits, seed=plan.seed)
    with only_runner(journal, plan.name), _quiet_optuna():
        study = _open_study(plan, journal)
        start = starting_candidates(plan)
        before = read_history(study).evaluated
        stopped = ""
        while (history := read_history(study)).evaluated < plan.evaluations:
            _check_failures(history)
            if not _enqueue(study, plan, start, history):
                stopped = (
                    f"{history.evaluated} of {plan.evaluations} evaluations made: no other subnet within "
                    f"the limits was found (the space has {plan.space.size:,.0f} in all)"
                )
                break
            row = _step(study, plan, history)
            if progress is not None:
                done = history.evaluated + (row["state"] in ("evaluated", "given up", "failed"))
                progress({**row, "done": done, "evaluations": plan.evaluations})
        _check_failures(history, finished=True)
        return SearchResult(study, history.evaluated, history.evaluated - before, stopped)


def load_study(journal: Path, name: str) -> Study:
    """Returns a study to read.

    Raises:
        InvalidInput: no such file or study.
    """
    if not journal.exists():
        raise InvalidInput(f"{journal} does not exist: search first")
    storage = open_journal(journal)
    names = [study.study_name for study in storage.get_all_studies()]
    if name not in names:
        raise InvalidInput(f"{journal} has no study {name!r}; it has {', '.join(names) or 'none'}")
    with _quiet_optuna():
        return optuna.load_study(study_name=name, storage=storage)


def _open_study(plan: SearchPlan, journal: Path) -> Study:
    """The plan's study, new or continued: trials that a dead process left running are told as failed."""
    storage = open_journal(journal)
    is_new = plan.name not in [study.study_name for study in storage.get_all_studies()]
    if is_new:
        study = optuna.create_study(study_name=plan.name, storage=storage, directions=list(plan.objectives.values()))
    else:
        study = optuna.load_study(study_name=plan.name, storage=storage)
    if not study.get_trials(deepcopy=False):  # new, or cut off before all of this was written
        for key, value in plan.attributes.items():
            study.set_user_attr(key, value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(plan.objectives))
    _check_same(plan, study, journal)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        storage.set_trial_user_attr(trial._trial_id, REASON, INTERRUPTED)
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def _check_same(plan: SearchPlan, study: Study, journal: Path) -> None:
    """Refuses to mix: an accuracy of another supernet or a limit of another plan means something else."""
    for key, wanted in plan.attributes.items():
        there = study.user_attrs.get(key)
        if there != wanted:
            raise InvalidInput(
                f"study {plan.name!r} in {journal} is of another {key} ({there} there, {wanted} now); "
                f"search under another name, or delete that file"
            )


def _enqueue(study: Study, plan: SearchPlan, start: list[Candidate], history: History) -> bool:
    """Sets the next candidate where it is not the sampler's to choose; False where there is none left."""
    if len(history.seen) >= plan.space.size:
        return False
    if history.waiting:  # set, then cut off
        return True
    if history.steps < len(start):
        study.enqueue_trial(trial_parameters(start[history.steps], plan.space))
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


def _step(study: Study, plan: SearchPlan, history: History) -> dict[str, Any]:
    """One trial from proposal to tell; returns what it came to."""
    study.sampler = plan.sampler(SamplerContext(plan.space, plan.figures, plan.limits, plan.seed, history.steps))
    trial = study.ask()
    candidate = propose(trial, plan.space)
    figures = {name: float(values[0]) for name, values in plan.figures([candidate]).items()}
    hard = plan.limits.hard
    excess = violations(figures, hard)
    write_candidate(trial, candidate, figures, excess)
    row: dict[str, Any] = {"trial": trial.number, **candidate.to_dict(), **figures}
    over = {name: hard[name] for name, value in excess.items() if value > 0}
    known = history.seen.get(candidate)
    if over:
        return {**row, **_refuse(study, trial, "infeasible", _over_text(over, figures))}
    if known is not None:
        return {**row, **_refuse(study, trial, "duplicate", f"the same as trial {known}")}
    return {**row, **_evaluate(study, plan, trial, candidate, figures)}


def _refuse(study: Study, trial: Trial, state: str, reason: str) -> dict[str, Any]:
    trial.set_user_attr(REASON, reason)
    write_note(trial, f"**{state}**, not evaluated: {reason}")
    study.tell(trial, state=TrialState.PRUNED)
    return {"state": state, "reason": reason}


def _evaluate(
    study: Study, plan: SearchPlan, trial: Trial, candidate: Candidate, figures: Mapping[str, float]
) -> dict[str, Any]:
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
        study.tell(trial, state=TrialState.FAIL)
        return {"state": "failed", "reason": reason}
    told = {"accuracy": evaluation.accuracy, "seconds": evaluation.seconds, "cached": evaluation.cached}
    figures = {**figures, **evaluation.figures}
    for key, value in {**told, **evaluation.figures}.items():
        trial.set_user_attr(key, value)
    if evaluation.history:
        trial.set_user_attr(HISTORY, [dict(row) for row in evaluation.history])
    show_in_dashboard(plan, trial, candidate, figures, evaluation)
    if evaluation.stopped_at is not None:
        return {**told, **_give_up(study, trial, evaluation)}
    values = {**figures, "accuracy": evaluation.accuracy}
    study.tell(trial, [values[name] for name in plan.objectives])
    return {"state": "evaluated", **told}


def _give_up(study: Study, trial: Trial, evaluation: Evaluation) -> dict[str, Any]:
    trial.set_user_attr(STOPPED_AT, evaluation.stopped_at)
    trial.set_user_attr(REASON, f"given up after {evaluation.stopped_at} epochs at accuracy {evaluation.accuracy:.4f}")
    study.tell(trial, state=TrialState.PRUNED)
    return {"state": "given up", "stopped_at": evaluation.stopped_at}


def _check_failures(history: History, finished: bool = False) -> None:
    """Ends a search in which nothing can be evaluated."""
    if history.failures and history.failures == history.evaluated and (finished or history.failures >= FAILED_AT_FIRST):
        raise InvalidInput(f"all {history.failures} evaluated subnets failed: {history.last_failure}")


def _over_text(over: Mapping[str, float], figures: Mapping[str, float]) -> str:
    """The limits that are broken, by name, beside the figures."""
    return ", ".join(
        f"{name} {number_text(name, figures[name])} over {number_text(name, limit)} {unit(name)}"
        for name, limit in over.items()
    )


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Keeps Optuna's own lines off the terminal: progress is told by the callback."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
