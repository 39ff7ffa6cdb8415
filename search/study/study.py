"""run_study: proposes candidates, refuses those over a limit, has the rest evaluated; can be stopped and resumed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study

from ofa.errors import InvalidInput
from search.candidates.feasible import check_reachable
from search.candidates.history import StudyHistory, history_of
from search.candidates.optuna_internals import study_id
from search.candidates.space import Candidate, Evaluation
from search.candidates.trials import TrialProgress
from search.engine import Engine, MakeEngine, Source, local
from search.study.database import Place, opened
from search.study.driver_storage import DriverStorage
from search.study.ending import reason_to_end
from search.study.fidelities import gate_of
from search.study.journal import open_journal
from search.study.plan import SearchPlan, starting_candidates
from search.study.step import Step, conclude, propose_step, resumed_steps, set_next
from search.study.trial_attributes import check_attributes, check_states
from search.text import count_text

FAILED_AT_FIRST = 5  # evaluations: if all of them failed, the supernet is at fault, not a candidate

Progress = Callable[[TrialProgress], None]


class _Driver:
    """Proposes the candidates of a study, hands them to an engine and reports what comes back."""

    def __init__(self, study: Study, plan: SearchPlan, engine: Engine, progress: Progress | None) -> None:
        self._study, self._plan, self._engine, self._progress = study, plan, engine, progress
        self._start = starting_candidates(plan)
        self._running: dict[Future[Evaluation], Step] = {}

    def drive(self) -> str:
        """Returns why the search of the plan ended before the requested number of evaluations; empty if it did not.

        Raises:
            InvalidInput: every evaluation fails, or no evaluator can begin.
        """
        plan = self._plan
        resumed = resumed_steps(self._study, plan)
        while True:
            history = history_of(self._study)
            if history.evaluated >= plan.evaluations and not resumed and not self._running:
                check_failures(history, finished=True)
                return ""
            check_failures(history)
            ended = reason_to_end(self._study, plan.limits, plan.minutes, plan.patience)
            left = "" if ended else self._hand_out(history, resumed)
            if not self._running:
                if ended:
                    return f"ended after {history.evaluated} of {plan.evaluations} evaluations: {ended}"
                if left:
                    return left
            if not any(future.done() for future in self._running):
                self._engine.wait()
            for future in [future for future in self._running if future.done()]:
                self._report(conclude(self._study, plan, self._running.pop(future), future))

    def _hand_out(self, history: StudyHistory, resumed: list[Step]) -> str:
        """Gives every free evaluator a candidate; returns, in words, that no other is left, else nothing."""
        plan, study = self._plan, self._study
        while self._engine.free and not any(future.done() for future in self._running):
            if resumed:
                self._submit(resumed.pop(0))
                continue
            history = history_of(study)
            if history.evaluated + len(history.running) >= plan.evaluations:
                return ""
            if not set_next(study, plan, self._start, history):
                return (
                    f"{history.evaluated} of {plan.evaluations} evaluations made: no other subnet within "
                    f"the limits was found (the space has {count_text(plan.space.size)} in all)"
                )
            step = propose_step(study, plan, history, len(self._running) + self._engine.free)
            if step.refused is None:
                self._submit(step)
            else:
                self._report(step.ended(*step.refused))
        return ""

    def _submit(self, step: Step) -> None:
        plan = self._plan
        gate = gate_of(self._study, step.trial, plan.fidelities, plan.metric)
        self._running[self._engine.submit(step.candidate, gate)] = step

    def _report(self, ended: TrialProgress) -> None:
        if self._progress is not None:
            done = history_of(self._study).evaluated
            self._progress(replace(ended, done=done, evaluations=self._plan.evaluations))


def check_failures(history: StudyHistory, finished: bool = False) -> None:
    """Ends a search in which every evaluation fails.

    Raises:
        InvalidInput: all evaluations so far have failed, and are `FAILED_AT_FIRST` or all requested ones.
    """
    if history.failures and history.failures == history.evaluated and (finished or history.failures >= FAILED_AT_FIRST):
        raise InvalidInput(f"all {history.failures} evaluated subnets failed: {history.last_failure}")


@dataclass(frozen=True)
class SearchResult:
    """A study and how many candidates it has evaluated, in all and in this call.

    `stopped` is the reason if it ended before the requested number, else empty.
    """

    study: Study
    evaluated: int
    evaluated_now: int
    stopped: str = ""


def run_study(
    plan: SearchPlan,
    location: Path | Place,
    progress: Progress | None = None,
    engine: MakeEngine = local,
    source: Source | None = None,
) -> SearchResult:
    """Returns the study of `plan`, stored in a journal file or a `Place`, once it holds `plan.evaluations`
    evaluations.

    This process alone proposes and writes. A candidate predicted to be over a limit is never evaluated: it is reported
    as pruned, with its constraints, and does not count; nor does a candidate that the study has evaluated before. An
    interrupted study resumes: what was running is evaluated again, and with one evaluator exactly the proposals come
    that it would have made.

    Args:
        progress: is told the end of every trial.
        engine: where candidates are evaluated.
        source: what evaluators in other processes are made of; None: an engine in this process alone.

    Raises:
        InvalidInput: a limit that no candidate meets (at once), a study of another plan or that another process
            drives, or evaluations that all fail.
    """
    check_reachable(plan.space, plan.figures, plan.limits, seed=plan.seed)
    location = Place(location) if isinstance(location, Path) else location
    with opened(location, plan.name) as storage, quiet_optuna():
        study = open_study(plan, storage, location)
        before = history_of(study).evaluated
        if before >= plan.evaluations and not history_of(study).running:
            return result_of(study, before, "")
        with engine(source or Source(plan.work, _no_source)) as evaluators:
            stopped = _Driver(study, plan, evaluators, progress).drive()
        return result_of(study, before, stopped)


def _no_source(_: object) -> Callable[[Candidate, object], Evaluation]:
    raise InvalidInput("evaluators in other processes need a source to be made of")


def result_of(study: Study, before: int, stopped: str) -> SearchResult:
    """Returns the result of a search that began with `before` evaluations.

    Raises:
        InvalidInput: all of them failed.
    """
    history = history_of(study)
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


def open_study(plan: SearchPlan, storage: BaseStorage, location: Place) -> Study:
    """Returns the plan's study, new or continued, for the one process that drives it.

    Raises:
        InvalidInput: the stored study is of another plan.
    """
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
    _check_same(plan, study, location)
    check_attributes(study)
    check_states(study)
    return optuna.load_study(study_name=plan.name, storage=DriverStorage(storage, study_id(study)))


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
