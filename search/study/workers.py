"""Several processes on one study: started, watched, replaced when they die, and ended together."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from ofa.errors import InvalidInput
from search.candidates.feasible import check_reachable
from search.candidates.trials import TrialProgress
from search.run.locks import worker_lock
from search.study.database import Place, check_workers, opened
from search.study.plan import SearchPlan
from search.study.step import read_history
from search.study.study import FAILED_AT_FIRST, Progress, SearchResult, open_study, quiet_optuna, result_of, work

MakePlan = Callable[[], SearchPlan]  # sent to each process, which makes its own plan


def run_workers(
    plan: SearchPlan, make_plan: MakePlan, workers: int, place: Place, progress: Progress | None = None
) -> SearchResult:
    """Returns the study of `plan`, as `run_study` does, searched by several processes at once.

    Each makes its own plan, the same as `plan`, by `make_plan`, a function that can be pickled; proposals are made in
    turn, evaluations run in parallel. A process that dies loses only its trial, which is retried, and is replaced.
    This process waits, and reports the progress of all.

    Raises:
        InvalidInput: as `run_study`; or all processes die before they begin, or too many die in a row.
    """
    check_workers(workers, place)
    check_reachable(plan.space, plan.figures, plan.limits, seed=plan.seed)
    with opened(place, plan.name) as shared, shared.alone(), quiet_optuna():
        study = open_study(plan, shared, place)
        before = read_history(study).evaluated
        stopped = _Team(plan, make_plan, workers, place, progress, before).run() if before < plan.evaluations else ""
        return result_of(study, before, stopped)


@dataclass
class _Member:
    """A process, the end of its pipe and the kind of its last message."""

    process: SpawnProcess
    pipe: Connection
    last_message: str = ""  # "begun", "ended", "done" or "failed"


class _Team:
    """The processes of one study."""

    def __init__(
        self,
        plan: SearchPlan,
        make_plan: MakePlan,
        workers: int,
        place: Place,
        progress: Progress | None,
        done: int,
    ) -> None:
        self._plan, self._make_plan, self._place, self._progress = plan, make_plan, place, progress
        self._workers, self._done = workers, done
        self._deaths_in_a_row = 0  # since a trial finished
        self._members: list[_Member] = []
        self._stopped = ""

    def run(self) -> str:
        """Returns why the search stopped early, when all processes are done."""
        context = multiprocessing.get_context("spawn")  # a fork would share the threads of PyTorch
        try:
            self._members = [self._start(context) for _ in range(self._workers)]
            while self._members:
                readable = wait([member.pipe for member in self._members])
                for member in [member for member in self._members if member.pipe in readable]:
                    try:
                        kind, content = member.pipe.recv()
                    except (EOFError, OSError):  # it died, between two messages or within one
                        self._replace(member, context)
                    else:
                        self._handle(member, kind, content)
        finally:
            _end_all(self._members)
        return self._stopped

    def _start(self, context: SpawnContext) -> _Member:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work_here, args=(self._make_plan, self._place, theirs), daemon=True)
        process.start()
        theirs.close()
        return _Member(process, ours)

    def _handle(self, member: _Member, kind: str, content: Any) -> None:
        member.last_message = kind
        if kind == "failed":
            raise content
        if kind == "done":
            self._stopped = self._stopped or content
        if kind == "ended":
            self._report(content)

    def _report(self, ended: TrialProgress) -> None:
        """Counts the trials of all processes: each of them only knows its own and earlier ones."""
        if ended.is_evaluation:
            self._deaths_in_a_row = 0
            self._done = min(max(self._done + 1, ended.done), self._plan.evaluations)
        if self._progress is not None:
            self._progress(replace(ended, done=self._done, evaluations=self._plan.evaluations))

    def _replace(self, member: _Member, context: SpawnContext) -> None:
        member.process.join()
        member.pipe.close()
        self._members.remove(member)
        if member.last_message == "done":
            return
        how = _how_it_ended(member.process.exitcode)
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row > 3 * (FAILED_AT_FIRST + self._workers):
            raise InvalidInput(f"{self._deaths_in_a_row} workers died, and no trial finished between ({how})")
        if member.last_message:
            self._report(TrialProgress("interrupted", f"a worker was {how}; its trial is tried again"))
            self._members.append(self._start(context))
        elif not self._members:
            raise InvalidInput(f"every worker was {how} before it began; try fewer than workers={self._workers}")


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"killed by signal {-exitcode}"
    return f"ended with exit code {exitcode}"


def _end_all(members: list[_Member]) -> None:
    """Ends processes at any moment, which is as safe as a kill."""
    for member in members:
        member.process.terminate()
    for member in members:
        member.process.join()
        member.pipe.close()


def _work_here(make_plan: MakePlan, place: Place, pipe: Connection) -> None:
    """The main function of a worker's process; messages are (kind, content)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which ends all
    parent = multiprocessing.parent_process()
    assert parent is not None
    try:
        plan = make_plan()
        with opened(place, plan.name) as shared, quiet_optuna(), worker_lock(place.journal, plan.name) as worker:
            study = open_study(plan, shared, place, begins=False)
            pipe.send(("begun", None))
            stopped = work(
                study,
                plan,
                shared,
                place,
                lambda ended: pipe.send(("ended", ended)),
                worker=worker,
                goes_on=parent.is_alive,
            )
        pipe.send(("done", stopped))
    except BrokenPipeError:
        return  # the parent is gone
    except Exception as error:
        pipe.send(("failed", _portable(error)))


def _portable(error: Exception) -> Exception:
    """The error in a form that can be sent to another process, with its traceback as a note."""
    if isinstance(error, InvalidInput):
        return InvalidInput(str(error))
    sent: Exception = RuntimeError(f"{type(error).__name__} in a worker: {error}")
    if isinstance(error, OSError) and not isinstance(
        error, FileNotFoundError
    ):  # such as a full disk, which the user can fix
        sent = OSError(error.errno, error.strerror, *([] if error.filename is None else [error.filename]))
    sent.add_note("".join(traceback.format_exception(error)))
    return sent
