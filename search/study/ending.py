"""Why a search ends before its evaluations: its time is up, or it finds nothing better any more."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from search.candidates.history import history_of
from search.candidates.limits import Limits
from search.candidates.trials import RESUMED, figures_of, state_of

EVALUATED = ("evaluated", "given up", "failed")


def reason_to_end(study: Study, limits: Limits, minutes: float | None, patience: int | None) -> str:
    """Returns why a study ends now, in words; empty where it goes on. It is a function of its finished trials alone.

    Args:
        study: of any number of objectives.
        limits: for one objective, what is best under each of its targets counts by itself.
        minutes: of work on trials, in whatever processes; parallel work counts once. None: any.
        patience: evaluations in a row that improve nothing; None: any.
    """
    history = history_of(study)
    if minutes is not None and history.fold_finished("worked", Worked, Worked.add).seconds >= 60 * minutes:
        return f"the {minutes:g} minutes of search.minutes were up"
    if patience is not None:
        start = partial(SinceImprovement, study.directions, limits)
        if history.fold_finished(("since improvement", repr(limits)), start, SinceImprovement.add).count >= patience:
            return f"{patience} evaluations in a row (search.patience) improved nothing"
    return ""


class Worked:
    """The time in which some trial was at work; one that was begun again counts from then."""

    def __init__(self) -> None:
        self._starts: list[datetime] = []  # of spans that do not touch, ascending, and their ends
        self._ends: list[datetime] = []
        self._worked = timedelta()

    @property
    def seconds(self) -> float:
        """The time so far."""
        return self._worked.total_seconds()

    def add(self, trial: FrozenTrial) -> None:
        """Takes in a trial that has ended."""
        start, end = _begun(trial) or trial.datetime_start, trial.datetime_complete
        if start is None or end is None:
            return
        touched = slice(bisect_left(self._ends, start), bisect_right(self._starts, end))
        starts, ends = self._starts[touched], self._ends[touched]
        start, end = min([start, *starts]), max([end, *ends])
        known = sum((until - since for since, until in zip(starts, ends, strict=True)), timedelta())
        self._worked += end - start - known
        self._starts[touched], self._ends[touched] = [start], [end]


def _begun(trial: FrozenTrial) -> datetime | None:
    """When the evaluation that ended a trial began, where a kill had ended an earlier one."""
    again = trial.user_attrs.get(RESUMED)
    return None if again is None else datetime.fromisoformat(again)


class SinceImprovement:
    """How many evaluations there were after the last that improved something.

    Of several objectives, what no earlier one equals or beats in all of them improves; of one objective, what is the
    best yet under one of the targets.
    """

    def __init__(self, directions: Sequence[StudyDirection], limits: Limits) -> None:
        self._signs = [1 if direction == StudyDirection.MAXIMIZE else -1 for direction in directions]
        self._targets = [limits.allowed(target) for target in limits.targets] if len(directions) == 1 else []
        self._best = [float("-inf")] * len(self._targets)
        self._front: list[list[float]] = []
        self.count = 0

    def add(self, trial: FrozenTrial) -> None:
        """Takes in a trial that has ended."""
        state = state_of(trial)
        self.count += state in EVALUATED
        if state == "evaluated" and self._improves(trial):
            self.count = 0

    def _improves(self, trial: FrozenTrial) -> bool:
        values = [sign * value for sign, value in zip(self._signs, trial.values, strict=True)]
        if not self._targets:
            if any(_covers(known, values) for known in self._front):
                return False
            self._front = [*(known for known in self._front if not _covers(values, known)), values]
            return True
        figures, best = figures_of(trial), list(self._best)
        for number, allowed in enumerate(self._targets):
            if all(figures[name] <= limit for name, limit in allowed.items() if name in figures):
                self._best[number] = max(best[number], values[0])
        return self._best != best


def _covers(point: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one point, higher is better, is at least as good in all objectives."""
    return all(first >= second for first, second in zip(point, other, strict=True))
