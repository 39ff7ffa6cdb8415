"""DriverStorage: how the one driver of a study sees it: read from memory, written once a claim and once an end.

Optuna writes a trial piece by piece and reads all trials back for every proposal. With one writer neither is needed: a
trial is proposed in memory and written as a whole when it is claimed, and what its evaluation adds is written when it
ends. A kill leaves whole trials: running ones are evaluated again, and what was not claimed is proposed again.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.candidates.optuna_internals import DASHBOARD, End, FrozenStudy, numbered, trial_id, write_claim, write_end

OF_STUDY = "of_study:"  # prefix of attributes that a sampler sets of the study, stored with the trial it was proposing
DRAFT = -1  # the id of a trial that is being proposed
OPEN = (TrialState.RUNNING, TrialState.WAITING)


class DriverStorage(BaseStorage):
    """The storage of one study for the process that drives it.

    A trial begins as a draft, by `study.ask()`; `claim` writes it, or its end does where it is refused at once.
    `study.enqueue_trial` makes a draft too, which the next `study.ask()` takes.

    Args:
        storage: holds the study.
        study: its id there.
    """

    def __init__(self, storage: BaseStorage, study: int) -> None:
        self.storage, self._study = storage, study
        self._directions = storage.get_study_directions(study)
        self._user_attributes = dict(storage.get_study_user_attrs(study))
        self._system_attributes = dict(storage.get_study_system_attrs(study))
        self._trials = list(storage.get_all_trials(study, deepcopy=False))
        self._numbers = {trial_id(trial): trial.number for trial in self._trials}
        self._drafting = False  # whether the last of the trials is a draft
        self._notes: dict[str, Any] = {}  # attributes of the study that the next end of a trial writes
        self._at_end: dict[str, Any] = {}  # attributes of the study that belong to the trial that ends next
        self._claims: dict[int, FrozenTrial] = {}  # open trials as they are stored
        for trial in self._trials:
            self._take_of_study(trial)
            if trial.state in OPEN:
                self._claims[trial_id(trial)] = trial
                self._trials[trial.number] = copy.copy(trial)

    def open_trials(self) -> list[FrozenTrial]:
        """Returns the trials that were claimed and have not ended."""
        return [self.get_trial(identity) for identity in self._claims]

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return len(self._trials) - len(self._claims) - self._drafting

    def claim(self) -> int:
        """Returns the id of the draft after writing it as a running trial: the one write of a proposal."""
        identity = self._write_draft()
        self._claims[identity] = copy.copy(self._trials[-1])
        return identity

    def _write_draft(self) -> int:
        draft, self._drafting = self._trials[-1], False
        identity = write_claim(self.storage, self._study, draft)
        self._numbers[trial_id(numbered(draft, identity))] = draft.number
        self._take_of_study(draft)
        return identity

    def _take_of_study(self, trial: FrozenTrial) -> None:
        for key, value in trial.system_attrs.items():
            if key.startswith(OF_STUDY):
                self._system_attributes[key.removeprefix(OF_STUDY)] = value

    # Trials.

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Begins a draft, and returns its id."""
        draft = copy.copy(template_trial or create_trial(state=TrialState.RUNNING))
        draft.number, draft.datetime_start = len(self._trials), datetime.now()
        self._trials.append(numbered(draft, DRAFT))
        self._drafting = True
        return DRAFT

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Returns a trial, not copied; a draft that has ended goes by its old id until the next."""
        return self._trials[-1 if trial_id == DRAFT else self._numbers[trial_id]]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Returns the trials in one of `states`, the draft among them; all of them as the list that grows, since a
        copy of it for every proposal would cost more after many.
        """
        trials = self._trials
        if states is not None:
            if not any(state.is_finished() for state in TrialState if state in states):
                trials = [*self.open_trials(), *self._trials[len(self._trials) - self._drafting :]]
            trials = [trial for trial in trials if trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Returns the id of the trial of a number."""
        return trial_id(self._trials[trial_number])

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Sets a parameter of the draft."""
        trial = self.get_trial(trial_id)
        trial.params[param_name] = distribution.to_external_repr(param_value_internal)
        trial.distributions[param_name] = distribution

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Sets an attribute of a trial, which its claim or its end writes."""
        trial = self.get_trial(trial_id)
        trial.user_attrs = {**trial.user_attrs, key: value}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Sets a system attribute of a trial, which its claim or its end writes."""
        trial = self.get_trial(trial_id)
        trial.system_attrs = {**trial.system_attrs, key: value}

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Sets the value of a step; later ones are those of an evaluation that was begun again, and go."""
        trial = self.get_trial(trial_id)
        earlier = {known: value for known, value in trial.intermediate_values.items() if known < step}
        trial.intermediate_values = {**earlier, step: intermediate_value}

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Ends a trial, and writes what is not written of it; a waiting one is taken."""
        trial = self.get_trial(trial_id)
        if not state.is_finished():
            trial.state = state
            return True
        trial.state, trial.datetime_complete = state, datetime.now()
        if values is not None:
            trial.values = list(values)
        if trial_id == DRAFT:
            self._write_draft()
            return True
        claim = self._claims.pop(trial_id)
        trial.system_attrs = {**trial.system_attrs, **self._at_end}
        self._at_end = {}
        end = End(
            state,
            trial.values,
            trial.datetime_complete,
            _changed(trial.user_attrs, claim.user_attrs),
            _changed(trial.system_attrs, claim.system_attrs),
            self._taken_notes(),
            trial.intermediate_values,
        )
        write_end(self.storage, self._study, trial_id, end)
        return True

    # The study.

    def write_notes(self) -> None:
        """Writes the notes of a trial that was refused at once, whose id no note could name before."""
        if self._notes:
            end = End(TrialState.PRUNED, None, datetime.now(), of_study=self._taken_notes())
            write_end(self.storage, self._study, None, end)

    def _taken_notes(self) -> dict[str, Any]:
        notes, self._notes = self._notes, {}
        return notes

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Sets an attribute of the study, written with the trial that is proposed or ends: with it, it is gone too."""
        if key.startswith(DASHBOARD):
            self._notes[key] = value
            return
        self._system_attributes[key] = value
        if self._drafting:
            self.set_trial_system_attr(DRAFT, f"{OF_STUDY}{key}", value)
        else:
            self._at_end[f"{OF_STUDY}{key}"] = value

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Returns the attributes of the study; those set in later trials override earlier ones."""
        return self._system_attributes

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Returns the user attributes of the study."""
        return self._user_attributes

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Returns the directions of the objectives."""
        return self._directions

    def get_study_id_from_name(self, study_name: str) -> int:
        """Returns the id of the study."""
        return self._study

    def get_study_name_from_id(self, study_id: int) -> str:
        """Returns the name of the study."""
        return self.storage.get_study_name_from_id(study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        """Returns all studies of the storage."""
        return self.storage.get_all_studies()

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Sets a user attribute of the study at once."""
        self._user_attributes[key] = value
        self.storage.set_study_user_attr(study_id, key, value)

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """Refuses: the storage is of one study."""
        raise NotImplementedError

    def delete_study(self, study_id: int) -> None:
        """Refuses: the study is being searched."""
        raise NotImplementedError


def _changed(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that are new or have another value."""
    return {key: value for key, value in now.items() if key not in before or before[key] != value}
