"""The loop of one worker of a study: claim the next trial, evaluate it, tell it, until all is evaluated."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

from optuna.study import Study

from ofa.errors import InvalidInput
from search.history import History, read_history
from search.lost_trials import retry_lost_trials
from search.place import Place, Shared
from search.plan import SearchPlan, starting_candidates
from search.step import Step, evaluate_step, propose_step, set_next

FAILED_AT_FIRST = 5  # so many evaluations, all failed: the supernet is at fault, not a candidate
WAIT_SECONDS = 0.2  # for the trials of other workers, when there is nothing else to do

Progress = Callable[[Mapping[str, Any]], None]


def work(
    study: Study,
    plan: SearchPlan,
    shared: Shared,
    place: Place,
    progress: Progress | None = None,
    *,
    worker: str | None = None,
    goes_on: Callable[[], bool] = lambda: True,
) -> str:
    """Returns why the search of `plan` ended before the asked number of evaluations; empty where it did not.

    What other workers evaluate counts as claimed. Whoever finds nothing left to claim waits for them: a trial whose
    worker dies has to be tried again.

    Args:
        worker: the name of this worker; None where it has the study for itself.
        goes_on: asked before each claim.

    Raises:
        InvalidInput: every evaluation fails.
    """
    start = starting_candidates(plan)
    while True:
        with shared.claiming():
            if not goes_on():
                return ""
            retry_lost_trials(study, shared, place, plan.space, begins=False)
            history = read_history(study)
            if history.evaluated >= plan.evaluations:
                check_failures(history, finished=True)
                return ""
            check_failures(history)
            step = None
            if history.evaluated + history.running < plan.evaluations:
                step = _next_step(study, plan, history, start, worker)
        if step is None and not history.running:
            return (
                f"{history.evaluated} of {plan.evaluations} evaluations made: no other subnet within "
                f"the limits was found (the space has {plan.space.size:,.0f} in all)"
            )
        if step is None:
            time.sleep(WAIT_SECONDS)
            continue
        row = step.row
        if step.refused is None:
            with shared.working(study, step.trial._trial_id) if worker is not None else nullcontext():
                row = evaluate_step(study, plan, step)
        if progress is not None:
            done = history.evaluated + (row["state"] in ("evaluated", "given up", "failed"))
            progress({**row, "done": done, "evaluations": plan.evaluations})


def check_failures(history: History, finished: bool = False) -> None:
    """Ends a search in which nothing can be evaluated.

    Raises:
        InvalidInput: all evaluations so far have failed, and they are `FAILED_AT_FIRST` or all that were asked for.
    """
    if history.failures and history.failures == history.evaluated and (finished or history.failures >= FAILED_AT_FIRST):
        raise InvalidInput(f"all {history.failures} evaluated subnets failed: {history.last_failure}")


def _next_step(study: Study, plan: SearchPlan, history: History, start: list[Any], worker: str | None) -> Step | None:
    """The next trial, None where no candidate is left."""
    return propose_step(study, plan, history, worker) if set_next(study, plan, start, history) else None
