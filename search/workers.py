"""Several processes on one study: started, watched, replaced when they die, and ended together."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from ofa.errors import InvalidInput
from search.history import read_history
from search.place import Place, check_workers, opened
from search.plan import SearchPlan
from search.reach import check_reachable
from search.study import SearchResult, open_study, quiet_optuna, result_of
from search.work import FAILED_AT_FIRST, Progress, work
from search.worker_locks import worker_lock

MakePlan = Callable[[], SearchPlan]  # sent to each process, which makes the plan there


def run_workers(
    plan: SearchPlan, make_plan: MakePlan, workers: int, place: Place, progress: Progress | None = None
) -> SearchResult:
    """Returns the study of `plan`, as `run_study` does, searched by several processes at once.

    Each makes its own plan, the same as `plan`, by `make_plan`, a function that can be pickled; proposals follow one
    another, evaluations run side by side. A process that dies loses its trial alone, which is tried again, and is
    replaced. This process waits, and tells the progress of all.

    Raises:
        InvalidInput: as `run_study`; or the processes die before they have begun, or one after the other.
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
    """A process and the end of its pipe: what it said last tells how far it came."""

    process: SpawnProcess
    pipe: Connection
    said: str = ""  # "begun", "row", "done" or "failed"


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
        self._deaths_in_a_row = 0  # since a trial was finished
        self._members: list[_Member] = []
        self._stopped = ""

    def run(self) -> str:
        """Returns why the search stopped early, when all processes are done."""
        context = multiprocessing.get_context("spawn")  # a fork would share the threads of PyTorch
        try:
            self._members = [self._start(context) for _ in range(self._workers)]
            while self._members:
                ready = wait([member.pipe for member in self._members])
                for member in [one for one in self._members if one.pipe in ready]:
                    try:
                        kind, content = member.pipe.recv()
                    except (EOFError, OSError):  # its end, whether between two messages or within one
                        self._ended(member, context)
                    else:
                        self._heard(member, kind, content)
        finally:
            _end_all(self._members)
        return self._stopped

    def _start(self, context: SpawnContext) -> _Member:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work_here, args=(self._make_plan, self._place, theirs), daemon=True)
        process.start()
        theirs.close()
        return _Member(process, ours)

    def _heard(self, member: _Member, kind: str, content: Any) -> None:
        member.said = kind
        if kind == "failed":
            raise content
        if kind == "done":
            self._stopped = self._stopped or content
        if kind == "row":
            self._tell(content)

    def _tell(self, row: Mapping[str, Any]) -> None:
        """Counts what all have done: each of them knows of its own trial and of those before it."""
        if row["state"] in ("evaluated", "given up", "failed"):
            self._deaths_in_a_row = 0
            self._done = min(max(self._done + 1, row["done"]), self._plan.evaluations)
        if self._progress is not None:
            self._progress({**row, "done": self._done, "evaluations": self._plan.evaluations})

    def _ended(self, member: _Member, context: SpawnContext) -> None:
        member.process.join()
        member.pipe.close()
        self._members.remove(member)
        if member.said == "done":
            return
        how = _how_it_ended(member.process.exitcode)
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row > 3 * (FAILED_AT_FIRST + self._workers):
            raise InvalidInput(f"{self._deaths_in_a_row} workers died, and no trial was finished between ({how})")
        if member.said:
            self._tell({"state": "interrupted", "reason": f"a worker was {how}; its trial is tried again"})
            self._members.append(self._start(context))
        elif not self._members:
            raise InvalidInput(f"every worker was {how} before it began; try fewer than workers={self._workers}")


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"killed by signal {-exitcode}"
    return f"ended with exit code {exitcode}"


def _end_all(members: list[_Member]) -> None:
    """Ends processes at any moment: what they leave is what a kill would."""
    for member in members:
        member.process.terminate()
    for member in members:
        member.process.join()
        member.pipe.close()


def _work_here(make_plan: MakePlan, place: Place, pipe: Connection) -> None:
    """All that a worker's process does; messages are (kind, content)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends all
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
                lambda row: pipe.send(("row", dict(row))),
                worker=worker,
                goes_on=parent.is_alive,
            )
        pipe.send(("done", stopped))
    except BrokenPipeError:
        return  # nobody is there any more to work for
    except Exception as error:
        pipe.send(("failed", _portable(error)))


def _portable(error: Exception) -> Exception:
    """The error as it can be sent to another process, with where it came from."""
    if isinstance(error, InvalidInput):
        return InvalidInput(str(error))
    sent = RuntimeError(f"{type(error).__name__} in a worker: {error}")
    sent.add_note("".join(traceback.format_exception(error)))
    return sent
