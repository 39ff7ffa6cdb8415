"""A study as if no search of it had ever been interrupted, for samplers, pruners and rungs; retries of lost trials.

Optuna keeps the trial that a dead process left behind. A sampler or pruner that counts it, or uses its number or its
attributes, would continue differently from a search that was never interrupted.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Container, Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.candidates.optuna_internals import (
    all_trials,
    filtered_by,
    forget_cached_trials,
    set_trial_attribute,
    storage_of,
    trial_id,
)
from search.candidates.space import CandidateSpace
from search.candidates.trials import INTERRUPTED, KILLED, REASON, WORKER, candidate_of, state_of, trial_parameters
from search.run.locks import forget_worker
from search.study.database import Place, Shared

OF_STUDY = "of_study:"  # prefix of attributes that a sampler sets of the study, stored with the trial it was proposing

# One view of each study, since samplers cache results by study.
_VIEWS: WeakKeyDictionary[Study, UninterruptedStudy] = WeakKeyDictionary()
FIXED = "fixed_params"  # where Optuna stores the parameters of an enqueued trial
DEATHS = 3  # of workers at the same candidate, after which it counts as failed


def uninterrupted(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Returns the trials without those of dead processes, numbered as if those had never started."""
    uninterrupted_trials = [trial for trial in trials if state_of(trial) != "interrupted"]
    return [
        trial if trial.number == number else _numbered(trial, number)
        for number, trial in enumerate(uninterrupted_trials)
    ]


def uninterrupted_study(study: Study) -> Study:
    """Returns a view of a study without interrupted trials."""
    if study not in _VIEWS:
        _VIEWS[study] = UninterruptedStudy(study)
    return _VIEWS[study]


class UninterruptedStudy(Study):
    """A study whose trials, also those of its storage, are uninterrupted."""

    def __init__(self, study: Study) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            storage: Any = _Storage(storage_of(study))
            super().__init__(study.study_name, storage, study.sampler, study.pruner)

    def proposing(self, trial_id: int, pruner: BasePruner) -> None:
        """Drops the cached trials, and stores attributes of the study with this trial from now on."""
        forget_cached_trials(self)
        self.pruner = pruner
        storage = storage_of(self)
        storage.trial_id = trial_id


class _Storage:
    """A storage of uninterrupted trials; attributes of the study belong to the trial in which they were set.

    Args:
        storage: answers all other calls.
    """

    def __init__(self, storage: BaseStorage) -> None:
        self.storage = storage
        self.trial_id: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Returns the uninterrupted trials in one of `states`."""
        trials = uninterrupted(self.storage.get_all_trials(study_id, deepcopy=False))
        selected = [trial for trial in trials if states is None or trial.state in states]
        return copy.deepcopy(selected) if deepcopy else selected

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Returns the attributes of the study; those set in later trials override earlier ones."""
        attributes = dict(self.storage.get_study_system_attrs(study_id))
        for trial in self.get_all_trials(study_id, deepcopy=False):
            for key, value in trial.system_attrs.items():
                if key.startswith(OF_STUDY):
                    attributes[key.removeprefix(OF_STUDY)] = value
        return attributes

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Sets an attribute of the study with the trial that is being proposed."""
        if self.trial_id is None:
            self.storage.set_study_system_attr(study_id, key, value)
        else:
            self.storage.set_trial_system_attr(self.trial_id, f"{OF_STUDY}{key}", value)


class UninterruptedSampler(BaseSampler):
    """A sampler that sees the uninterrupted study; `pruner` is that of the study, which some samplers read."""

    def __init__(self, sampler: BaseSampler, pruner: BasePruner) -> None:
        self._sampler, self._pruner = sampler, pruner

    def __str__(self) -> str:
        return str(self._sampler)

    def reseed_rng(self) -> None:
        """Draws another seed."""
        self._sampler.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Tells the sampler that a trial begins."""
        view = uninterrupted_study(study)
        assert isinstance(view, UninterruptedStudy)
        view.proposing(trial_id(trial), self._pruner)
        self._sampler.before_trial(*self._view_of(study, trial))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns the search space of the sampler's joint proposals."""
        return self._sampler.infer_relative_search_space(*self._view_of(study, trial))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Returns the sampler's proposal."""
        return self._sampler.sample_relative(*self._view_of(study, trial), search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Returns the sampler's proposal for one parameter."""
        return self._sampler.sample_independent(*self._view_of(study, trial), param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Tells the sampler that a trial has ended."""
        self._sampler.after_trial(*self._view_of(study, trial), state, values)

    def _view_of(self, study: Study, trial: FrozenTrial) -> tuple[Study, FrozenTrial]:
        return _filtered_view(study, trial, self._pruner)


class UninterruptedPruner(BasePruner):
    """A pruner that sees the uninterrupted study."""

    def __init__(self, pruner: BasePruner) -> None:
        self._pruner = pruner

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Returns whether a trial should stop."""
        return self._pruner.prune(uninterrupted_study(study), _renumbered(study, trial))


def _filtered_view(study: Study, trial: FrozenTrial, pruner: BasePruner) -> tuple[Study, FrozenTrial]:
    """The study and the trial that a sampler sees; with a pruner of brackets, only the trials of its own bracket."""
    view, renumbered = uninterrupted_study(study), _renumbered(study, trial)
    return filtered_by(pruner, view, renumbered), renumbered


def _renumbered(study: Study, trial: FrozenTrial) -> FrozenTrial:
    """The trial with the number it would have without interruptions."""
    before = all_trials(study)[: trial.number]
    number = trial.number - sum(state_of(other) == "interrupted" for other in before)
    return trial if number == trial.number else _numbered(trial, number)


def _numbered(trial: FrozenTrial, number: int) -> FrozenTrial:
    copied = copy.copy(trial)
    copied.number = number
    return copied


def retry_lost_trials(study: Study, shared: Shared, place: Place, space: CandidateSpace, *, begins: bool) -> None:
    """Marks trials that dead workers left running as failed, and enqueues their candidates again.

    Called while the study is held for the next proposal. A trial left running when a search begins was interrupted,
    and is retried however often that happens. A candidate at which `DEATHS` workers died while others continued has
    failed and is not retried.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        worker = trial.user_attrs.get(WORKER)
        # A trial without a worker was being proposed by a process that held the study and is gone.
        if worker is not None and not shared.is_dead(study, trial, worker):
            continue
        candidate = candidate_of(trial)
        deaths = 1 + _deaths(study, trial)
        failed = not begins and candidate is not None and deaths >= DEATHS
        reason = INTERRUPTED if begins else f"{deaths} workers died at it" if failed else KILLED
        try:
            set_trial_attribute(study, trial, REASON, reason)
        except UpdateFinishedTrialError:  # it ended between the check of the trial and that of its worker
            continue
        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        if worker is None:  # the next step proposes the same again, with the same attributes of the study
            if FIXED in trial.system_attrs:
                study.enqueue_trial(trial.system_attrs[FIXED])
        elif candidate is not None and not failed:
            study.enqueue_trial(trial_parameters(candidate, space))
        if worker is not None:
            forget_worker(place.journal, study.study_name, worker)


def _deaths(study: Study, trial: FrozenTrial) -> int:
    """How many workers died at the candidate of a trial in earlier trials."""
    candidate = candidate_of(trial)
    killed = (
        other
        for other in study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        if other.user_attrs.get(REASON) == KILLED
    )
    return sum(candidate_of(other) == candidate for other in killed)
