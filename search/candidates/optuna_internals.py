"""Every use of Optuna's private interface, in one place; tested with Optuna 5.0.0.

To raise Optuna's version, run tests/search/study, look here first if a test fails, and name the new version above. The
rest of the toolkit uses Optuna's documented interface alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage as CachedStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.study import Study
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, Trial, TrialState

__all__ = [
    "DASHBOARD",
    "DASHBOARD_CONSTRAINTS",
    "BaseJournalFileLock",
    "CachedStorage",
    "End",
    "FrozenStudy",
    "cached",
    "claimed_trial",
    "numbered",
    "set_constraints",
    "storage_of",
    "study_attributes",
    "study_id",
    "trial_id",
    "write_end",
]

DASHBOARD = "dashboard:"  # what the names of attributes of a study begin with that optuna-dashboard writes
DASHBOARD_CONSTRAINTS = "constraints"  # the legacy attribute, the only one that optuna-dashboard reads


def storage_of(study: Study) -> Any:
    """Returns the storage of a study, a BaseStorage."""
    return study._storage


def study_id(study: Study | FrozenStudy) -> int:
    """Returns the number of a study in its storage."""
    return study._study_id


def trial_id(trial: Trial | FrozenTrial) -> int:
    """Returns the number of a trial in its storage, unique among all studies there."""
    return trial._trial_id


def numbered(trial: FrozenTrial, identity: int) -> FrozenTrial:
    """Returns a trial, not copied, with its number in its storage."""
    trial._trial_id = identity
    return trial


def study_attributes(study: Study) -> dict[str, Any]:
    """Returns the system attributes of a study."""
    return study._storage.get_study_system_attrs(study._study_id)


def set_constraints(trial: Trial, excess: list[float]) -> None:
    """Writes by how much a trial exceeds each limit (0 or less: met), where the dashboard looks for it."""
    trial.storage.set_trial_system_attr(trial._trial_id, DASHBOARD_CONSTRAINTS, excess)


def cached(storage: RDBStorage) -> CachedStorage:
    """Returns a storage that reads each finished trial from the database once."""
    return CachedStorage(storage)


class _ClaimedTrial(Trial):
    """A trial that is not proposed again."""

    def __init__(self, study: Study, trial_id: int) -> None:
        self.study, self._trial_id, self.storage = study, trial_id, study._storage
        self._cached_frozen_trial = self.storage.get_trial(trial_id)


def claimed_trial(study: Study, identity: int) -> Trial:
    """Returns a running trial of a study, as `study.ask` does, without asking the sampler."""
    return _ClaimedTrial(study, identity)


@dataclass(frozen=True)
class End:
    """What is written when a trial ends: attributes that are new or changed, its steps, its state and its values."""

    state: TrialState
    values: list[float] | None
    when: datetime
    user_attributes: Mapping[str, Any] = field(default_factory=dict)
    system_attributes: Mapping[str, Any] = field(default_factory=dict)
    of_study: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[int, float] = field(default_factory=dict)


def write_end(storage: BaseStorage, study: int, trial: int | None, end: End) -> None:
    """Writes the end of a trial in one append or one transaction; of `trial` None, the attributes of the study alone.

    Other storages than journals and databases are written by one call per attribute.
    """
    if isinstance(storage, JournalStorage):
        _append_end(storage, study, trial, end)
    elif isinstance(storage, RDBStorage):
        _commit_end(storage, study, trial, end)
    else:
        for key, value in end.of_study.items():
            storage.set_study_system_attr(study, key, value)
        if trial is not None:
            for key, value in end.user_attributes.items():
                storage.set_trial_user_attr(trial, key, value)
            for key, value in end.system_attributes.items():
                storage.set_trial_system_attr(trial, key, value)
            for step, value in end.steps.items():
                storage.set_trial_intermediate_value(trial, step, value)
            storage.set_trial_state_values(trial, end.state, end.values)


def _append_end(storage: JournalStorage, study: int, trial: int | None, end: End) -> None:
    logs: list[dict[str, Any]] = [
        {"op_code": 3, "study_id": study, "system_attr": {key: value}} for key, value in end.of_study.items()
    ]
    if trial is not None:
        logs += [
            {"op_code": 8, "trial_id": trial, "user_attr": {key: value}} for key, value in end.user_attributes.items()
        ]
        logs += [
            {"op_code": 9, "trial_id": trial, "system_attr": {key: value}}
            for key, value in end.system_attributes.items()
        ]
        logs += [
            {"op_code": 7, "trial_id": trial, "step": step, "intermediate_value": value}
            for step, value in end.steps.items()
        ]
        when = end.when.astimezone(UTC).isoformat(timespec="microseconds")
        state = {"state": int(end.state), "values": end.values, "datetime_complete": when}
        logs.append({"op_code": 6, "trial_id": trial, **state})
    with storage._thread_lock:
        worker = storage._replay_result.worker_id
        storage._backend.append_logs([{"op_code": log["op_code"], "worker_id": worker, **log} for log in logs])
        storage._sync_with_backend()


def _commit_end(storage: RDBStorage, study: int, trial: int | None, end: End) -> None:
    with _create_scoped_session(storage.scoped_session) as session:
        for key, value in end.of_study.items():
            row = models.StudyModel.find_or_raise_by_id(study, session)
            known = models.StudySystemAttributeModel.find_by_study_and_key(row, key, session)
            if known is None:
                session.add(models.StudySystemAttributeModel(study_id=study, key=key, value_json=json.dumps(value)))
            else:
                known.value_json = json.dumps(value)
        if trial is None:
            return
        each = (
            (models.TrialUserAttributeModel, end.user_attributes),
            (models.TrialSystemAttributeModel, end.system_attributes),
        )
        for kind, attributes in each:
            for key, value in attributes.items():
                storage._set_trial_attr_without_commit(session, kind, trial, key, value)
        for step, value in end.steps.items():
            storage._set_trial_intermediate_value_without_commit(session, trial, step, value)
        stored = models.TrialModel.find_or_raise_by_id(trial, session, for_update=True)
        state: Any = stored.state
        storage.check_trial_is_updatable(trial, state)
        for number, value in enumerate(end.values or ()):
            storage._set_trial_value_without_commit(session, stored, number, value)
        stored.state, stored.datetime_complete = end.state, end.when
