"""History: what a study's trials come to, which is all that its next step depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from optuna.study import Study
from optuna.trial import TrialState

from search.candidate import Candidate
from search.trials import REASON, candidate_of, state_of


@dataclass(frozen=True)
class History:
    """Counts over a study's trials, without those of a dead process: a search goes on as if it had lived."""

    steps: int  # trials finished or running
    running: int  # evaluated just now, by other workers
    evaluated: int  # evaluated, with success or not
    failures: int
    last_failure: str
    refused_in_a_row: int  # at the end: over a limit, or known
    waiting: bool  # a trial is set and not begun
    seen: Mapping[Candidate, int]  # those evaluated or running, and their trial


def read_history(study: Study) -> History:
    """Returns the History of a study as it is in its storage now."""
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
    return History(steps, running, evaluated, failures, last_failure, refused, waiting, seen)
