"""The history of a study: what its trials come to, kept as they come, so that a step reads what is new alone."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.candidates.space import Candidate
from search.candidates.trials import ENDED, REASON, candidate_of, state_of

R = TypeVar("R")
T = TypeVar("T")
Known = tuple[FrozenTrial, Candidate]


class StudyHistory:
    """The trials of one study.

    Attributes:
        steps: trials finished or running.
        evaluated: evaluated, successfully or not.
        failures: that failed, of those.
        last_failure: why.
        refused_in_a_row: the latest in a row that were over a limit or duplicates.
        seen: the number of the trial of each candidate evaluated or running.
        proposed: the place of the trial of every candidate among the finished ones; that of a running one is infinite.
        finished: as they ended, so that new ones only append, each with its candidate, where that is known.
        complete: those of them that were evaluated to the end.
        running: by number.
    """

    def __init__(self) -> None:
        self.steps = self.evaluated = self.failures = self.refused_in_a_row = 0
        self.last_failure = ""
        self.seen: dict[Candidate, int] = {}
        self.proposed: dict[Candidate, float] = {}
        self.finished: list[tuple[FrozenTrial, Candidate | None]] = []
        self.complete: list[Known] = []
        self.running: dict[int, Candidate] = {}
        self._known = 0  # trials looked at
        self._open: list[int] = []  # numbers of those that had not finished
        self._folds: dict[Any, tuple[int, Any]] = {}

    def update(self, trials: list[FrozenTrial]) -> None:
        """Takes in what has come since the last call; `trials` are all of them, by number."""
        looked_at = [*(trials[number] for number in self._open), *trials[self._known :]]
        for trial in looked_at:
            self._begin(trial)
        for trial in sorted((trial for trial in looked_at if trial.state.is_finished()), key=_ended_at):
            self._end(trial)
        self._open = [trial.number for trial in looked_at if not trial.state.is_finished()]
        self._known = len(trials)

    def _begin(self, trial: FrozenTrial) -> None:
        """Counts a trial once it has a candidate or has finished; one that is being proposed has neither."""
        if trial.number in self.running or trial.state == TrialState.WAITING:
            return
        state, candidate = state_of(trial), candidate_of(trial)
        if state == "running" and candidate is None:
            return
        self.steps += 1
        self.refused_in_a_row = self.refused_in_a_row + 1 if state in ("infeasible", "duplicate") else 0
        if state == "running" and candidate is not None:
            self.running[trial.number] = candidate
            self.seen[candidate] = trial.number
            self.proposed.setdefault(candidate, float("inf"))

    def _end(self, trial: FrozenTrial) -> None:
        state = state_of(trial)
        candidate = self.running.pop(trial.number, None) or candidate_of(trial)
        if candidate is not None:
            self.proposed[candidate] = min(self.proposed.get(candidate, float("inf")), len(self.finished))
        self.finished.append((trial, candidate))
        if state in ("infeasible", "duplicate"):
            return
        self.evaluated += 1
        if candidate is not None:
            self.seen[candidate] = trial.number
            if trial.state == TrialState.COMPLETE:
                self.complete.append((trial, candidate))
        if state == "failed":
            self.failures += 1
            self.last_failure = str(trial.user_attrs.get(REASON, ""))

    def fold(self, key: Any, start: Callable[[], T], add: Callable[[T, FrozenTrial, Candidate], object]) -> T:
        """Returns what `add` has made of `start()` and of every complete trial; each is added once for a key."""
        return self._folded(self.complete, key, start, lambda folded, row: add(folded, *row))

    def fold_finished(self, key: Any, start: Callable[[], T], add: Callable[[T, FrozenTrial], object]) -> T:
        """Returns what `fold` does, of every finished trial."""
        return self._folded(self.finished, key, start, lambda folded, row: add(folded, row[0]))

    def _folded(self, rows: list[R], key: Any, start: Callable[[], T], add: Callable[[T, R], object]) -> T:
        count, folded = self._folds[key] if key in self._folds else (0, start())
        for row in rows[count:]:
            add(folded, row)
        self._folds[key] = len(rows), folded
        return folded

    def before(self, count: int) -> Container[Candidate]:
        """Returns the candidates of the first `count` finished trials."""
        return _Before(self.proposed, count)


class _Before:
    """The candidates whose place is before another."""

    def __init__(self, places: dict[Candidate, float], count: int) -> None:
        self._places, self._count = places, count

    def __contains__(self, candidate: object) -> bool:
        return self._places.get(candidate, float("inf")) < self._count  # type: ignore[call-overload, no-any-return]


_HISTORIES: WeakKeyDictionary[Study, StudyHistory] = WeakKeyDictionary()  # a cache: what a study holds, read again


def history_of(study: Study) -> StudyHistory:
    """Returns the history of the present trials of a study."""
    if study not in _HISTORIES:
        _HISTORIES[study] = StudyHistory()
    history = _HISTORIES[study]
    history.update(study.get_trials(deepcopy=False))
    return history


def _ended_at(trial: FrozenTrial) -> int:
    """When a trial ended, as a number among the others."""
    return int(trial.user_attrs.get(ENDED, trial.number))
