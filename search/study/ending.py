"""Why a search ends before its evaluations: its time is up, or it finds nothing better any more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

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
    if minutes is None and patience is None:
        return ""
    finished = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    if minutes is not None and seconds_worked(finished) >= 60 * minutes:
        return f"the {minutes:g} minutes of search.minutes were up"
    if patience is not None and since_improvement(finished, study.directions, limits) >= patience:
        return f"{patience} evaluations in a row (search.patience) improved nothing"
    return ""


def seconds_worked(trials: Sequence[FrozenTrial]) -> float:
    """Returns in how many seconds some trial was at work; one that was begun again counts from then."""
    spans: list[tuple[datetime, datetime]] = sorted(
        (_begun(trial) or trial.datetime_start, trial.datetime_complete)
        for trial in trials
        if trial.datetime_start is not None and trial.datetime_complete is not None
    )
    seconds, until = 0.0, datetime.min
    for start, end in spans:
        seconds += max(0.0, (end - max(start, until)).total_seconds())
        until = max(until, end)
    return seconds


def _begun(trial: FrozenTrial) -> datetime | None:
    """When the evaluation that ended a trial began, where a kill had ended an earlier one."""
    again = trial.user_attrs.get(RESUMED)
    return None if again is None else datetime.fromisoformat(again)


def since_improvement(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection], limits: Limits) -> int:
    """Returns how many evaluations there were after the last that improved something.

    Of several objectives, what no earlier one equals or beats in all of them improves; of one objective, what is the
    best yet under one of the targets.
    """
    signs = [1 if direction == StudyDirection.MAXIMIZE else -1 for direction in directions]
    targets = [limits.allowed(target) for target in limits.targets] if len(signs) == 1 else []
    front: list[list[float]] = []
    best: dict[int, float] = {}
    count = 0
    for trial in trials:
        if state_of(trial) not in EVALUATED:
            continue
        count += 1
        if state_of(trial) != "evaluated":
            continue
        values = [sign * value for sign, value in zip(signs, trial.values, strict=True)]
        if targets:
            figures = figures_of(trial)
            for number, allowed in enumerate(targets):
                met = all(figures[name] <= limit for name, limit in allowed.items() if name in figures)
                if met and values[0] > best.get(number, float("-inf")):
                    best[number] = values[0]
                    count = 0
        elif not any(all(one >= other for one, other in zip(known, values, strict=True)) for known in front):
            front.append(values)
            count = 0
    return count
