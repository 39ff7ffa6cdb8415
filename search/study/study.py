"""run_study: proposes candidates, refuses those over a limit, evaluates the rest; can be stopped and resumed."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study

from ofa.errors import InvalidInput
from search.candidates.feasible import check_reachable
from search.candidates.optuna_internals import trial_id
from search.candidates.trials import TrialProgress
from search.run.locks import worker_lock
from search.study.database import Place, Shared, opened
from search.study.ending import reason_to_end
from search.study.journal import open_journal
from search.study.plan import SearchPlan, starting_candidates
from search.study.step import Step, TrialCounts, evaluate_step, propose_step, read_history, set_next
from search.study.trial_attributes import check_attributes, check_states
from search.study.uninterrupted import retry_lost_trials
from search.text import count_text

FAILED_AT_FIRST = 5  # evaluations: if all of them failed, the supernet is at fault, not a candidate
WAIT_SECONDS = 0.2  # between checks for lost trials of other workers, when nothing is left to claim

Progress = Callable[[TrialProgress], None]


def work(
    study: Study,
    plan: SearchPlan,
    shared: Shared,
    storage: Place,
    progress: Progress | None = None,
    *,
    worker: str | None = None,
    goes_on: Callable[[], bool] = lambda: True,
) -> str:
    """Returns why the search of `plan` ended before the requested number of evaluations; empty if it did not.

    Running trials of other workers count as claimed. A worker with nothing left to claim waits for them: a trial
    whose worker dies must be retried.

    Args:
        worker: the name of this worker; None if it is the only one.
        goes_on: called before each claim; False ends the work.

    Raises:
        InvalidInput: every evaluation fails.
    """
    start = starting_candidates(plan)
    while True:
        with shared.claiming():
            if not goes_on():
                return ""
            retry_lost_trials(study, shared, storage, plan.space, begins=False)
            history = read_history(study)
            if history.evaluated >= plan.evaluations:
                check_failures(history, finished=True)
                return ""
            check_failures(history)
            if reason := reason_to_end(study, plan.limits, plan.minutes, plan.patience):
                return f"ended after {history.evaluated} of {plan.evaluations} evaluations: {reason}"
            step = None
            if history.evaluated + history.running < plan.evaluations:
                step = _next_step(study, plan, history, start, worker)
        if step is None and not history.running:
            return (
                f"{history.evaluated} of {plan.evaluations} evaluations made: no other subnet within "
                f"the limits was found (the space has {count_text(plan.space.size)} in all)"
            )
        if step is None:
            time.sleep(WAIT_SECONDS)
            continue
        if step.refused is None:
            with shared.working(study, trial_id(step.trial)) if worker is not None else nullcontext():
                ended = evaluate_step(study, plan, step)
        else:
            ended = step.ended(*step.refused)
        if progress is not None:
            progress(replace(ended, done=history.evaluated + ended.is_evaluation, evaluations=plan.evaluations))


def check_failures(history: TrialCounts, finished: bool = False) -> None:
    """Ends a search in which every evaluation fails.

    Raises:
        InvalidInput: all evaluations so far have failed, and are `FAILED_AT_FIRST` or all requested ones.
    """
    if history.failures and history.failures == history.evaluated and (finished or history.failures >= FAILED_AT_FIRST):
        raise InvalidInput(f"all {history.failures} evaluated subnets failed: {history.last_failure}")


def _next_step(
    study: Study, plan: SearchPlan, history: TrialCounts, start: list[Any], worker: str | None
) -> Step | None:
    """The next trial; None if no candidate is left."""
    return propose_step(study, plan, history, worker) if set_next(study, plan, start, history) else None


@dataclass(frozen=True)
class SearchResult:
    """A study and how many candidates it has evaluated, in all and in this call.

    `stopped` is the reason if it ended before the requested number, else empty.
    """

    study: Study
    evaluated: int
    evaluated_now: int
    stopped: str = ""


def run_study(plan: SearchPlan, place: Path | Place, progress: Progress | None = None) -> SearchResult:
    """Returns the study of `plan`, stored in a journal file or a `Place`, once it holds `plan.evaluations`
    evaluations.

    A candidate predicted to be over a limit is never evaluated: it is reported as pruned, with its constraints,
    and does not count; nor does a candidate that the study has evaluated before. An interrupted study resumes
    with exactly the proposals it would have made. `progress` gets one dictionary per trial.

    Raises:
        InvalidInput: a limit that no candidate meets (at once), a study of another plan, or evaluations that
        all fail.
    """
    check_reachable(plan.space, plan.figures, plan.limits, seed=plan.seed)
    place = Place(place) if isinstance(place, Path) else place
    with opened(place, plan.name) as shared, shared.alone(), quiet_optuna():
        study = open_study(plan, shared, place)
        before = read_history(study).evaluated
        is_shared = place.address is not None
        with worker_lock(place.journal, plan.name) if is_shared else nullcontext() as worker:
            stopped = work(study, plan, shared, place, progress, worker=worker)
        return result_of(study, before, stopped)


def result_of(study: Study, before: int, stopped: str) -> SearchResult:
    """Returns the result of a search that began with `before` evaluations.

    Raises:
        InvalidInput: all of them failed.
    """
    history = read_history(study)
    check_failures(history, finished=True)
    return SearchResult(study, history.evaluated, history.evaluated - before, stopped)


def load_study(journal: Path, name: str) -> Study:
    """Returns a study for reading.

    Raises:
        InvalidInput: no such file or study, or a damaged trial.
    """
    if not journal.exists():
        raise InvalidInput(f"{journal} does not exist: search first")
    storage = open_journal(journal)
    names = [study.study_name for study in storage.get_all_studies()]
    if name not in names:
        raise InvalidInput(f"{journal} has no study {name!r}; it has {', '.join(names) or 'none'}")
    with quiet_optuna():
        study = optuna.load_study(study_name=name, storage=storage)
    check_attributes(study)
    return study


def open_study(plan: SearchPlan, shared: Shared, place: Place, *, begins: bool = True) -> Study:
    """Returns the plan's study, new or continued: trials that dead workers left running are marked as failed.

    `begins` is False for a worker that joins a running search.

    Raises:
        InvalidInput: the stored study is of another plan.
    """
    with shared.claiming():
        storage = shared.storage
        if plan.name in [study.study_name for study in storage.get_all_studies()]:
            study = optuna.load_study(study_name=plan.name, storage=storage)
        else:
            directions = list(plan.objectives.values())
            study = optuna.create_study(study_name=plan.name, storage=storage, directions=directions)
        if not study.get_trials(deepcopy=False):  # new, or interrupted before all of this was written
            for key, value in plan.attributes.items():
                study.set_user_attr(key, value)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(list(plan.objectives))
        _check_same(plan, study, place)
        check_attributes(study)
        check_states(study)
        retry_lost_trials(study, shared, place, plan.space, begins=begins)
    return study


def _check_same(plan: SearchPlan, study: Study, storage: Place) -> None:
    """Refuses a study of another plan: accuracies of another supernet or other limits are not comparable."""
    for key, expected in plan.attributes.items():
        stored = study.user_attrs.get(key)
        if stored != expected:
            where = "delete that file" if storage.address is None else "delete it there"
            raise InvalidInput(
                f"study {plan.name!r} in {storage} is of another {key} ({stored} there, {expected} now); "
                f"search under another name, or {where}"
            )


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keeps Optuna's log lines off the terminal: the callback shows progress."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
