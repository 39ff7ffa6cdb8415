"""run_study: propose, refuse what breaks a limit, evaluate the rest; stopped and continued at any moment."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.study import Study

from ofa.errors import InvalidInput
from search.history import read_history
from search.lost_trials import retry_lost_trials
from search.place import Place, Shared, opened
from search.plan import SearchPlan
from search.reach import check_reachable
from search.storage import open_journal
from search.work import Progress, check_failures, work
from search.worker_locks import worker_lock


@dataclass(frozen=True)
class SearchResult:
    """A study and how many candidates it has evaluated, in all and in this call.

    `stopped` says why it ended before the asked number; it is empty where it did not.
    """

    study: Study
    evaluated: int
    evaluated_now: int
    stopped: str = ""


def run_study(plan: SearchPlan, place: Path | Place, progress: Progress | None = None) -> SearchResult:
    """Returns the study of `plan`, kept in a journal's file or another place, once it holds `plan.evaluations`
    evaluations.

    What is over a limit by prediction is never evaluated: it is told as pruned, with its constraints, and
    does not count; nor does a candidate that the study has evaluated before. A study that was cut off goes on
    with the very proposals it would have made. `progress` gets a dictionary a trial.

    Raises:
        InvalidInput: a limit that nothing meets (at once), a study of another plan, or an evaluation that
        always fails.
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
    """Returns what came of a search that began with `before` evaluations.

    Raises:
        InvalidInput: all of them failed.
    """
    history = read_history(study)
    check_failures(history, finished=True)
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
    with quiet_optuna():
        return optuna.load_study(study_name=name, storage=storage)


def open_study(plan: SearchPlan, shared: Shared, place: Place, *, begins: bool = True) -> Study:
    """Returns the plan's study, new or continued: trials that dead workers left running are told as failed.

    `begins` is False for one more worker of a search that others are at.

    Raises:
        InvalidInput: the study there is of another plan.
    """
    with shared.claiming():
        storage = shared.storage
        if plan.name in [study.study_name for study in storage.get_all_studies()]:
            study = optuna.load_study(study_name=plan.name, storage=storage)
        else:
            directions = list(plan.objectives.values())
            study = optuna.create_study(study_name=plan.name, storage=storage, directions=directions)
        if not study.get_trials(deepcopy=False):  # new, or cut off before all of this was written
            for key, value in plan.attributes.items():
                study.set_user_attr(key, value)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(list(plan.objectives))
        _check_same(plan, study, place)
        retry_lost_trials(study, shared, place, plan.space, begins=begins)
    return study


def _check_same(plan: SearchPlan, study: Study, place: Place) -> None:
    """Refuses to mix: an accuracy of another supernet or a limit of another plan means something else."""
    for key, wanted in plan.attributes.items():
        there = study.user_attrs.get(key)
        if there != wanted:
            where = "delete that file" if place.address is None else "delete it there"
            raise InvalidInput(
                f"study {plan.name!r} in {place} is of another {key} ({there} there, {wanted} now); "
                f"search under another name, or {where}"
            )


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keeps Optuna's own lines off the terminal: progress is told by the callback."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
