"""The finished trials of a study in the order in which they ended: what a learner is given, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from optuna.study import Study
from optuna.trial import TrialState

from search.candidate import Candidate
from search.samplers.goals import accuracy_place
from search.trials import candidate_of, state_of


@dataclass(frozen=True)
class Told:
    """A trial that was evaluated to its end."""

    number: int
    candidate: Candidate
    accuracy: float


def told_trials(study: Study) -> list[Told]:
    """Returns the evaluated trials in the order in which they ended: later ones change nothing before them."""
    place = accuracy_place(study)
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ordered = sorted(trials, key=lambda trial: (trial.datetime_complete or datetime.max, trial.number))
    return [
        Told(trial.number, candidate, float(trial.values[place]))
        for trial in ordered
        if (candidate := candidate_of(trial)) is not None
    ]


def seen_candidates(study: Study) -> set[Candidate]:
    """Returns the candidates of all trials, running ones included, but for those that were cut off."""
    trials = [one for one in study.get_trials(deepcopy=False) if state_of(one) != "interrupted"]
    return {one for trial in trials if (one := candidate_of(trial)) is not None}
