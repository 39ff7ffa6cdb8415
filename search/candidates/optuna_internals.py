"""Every use of Optuna's private interface, in one place; tested with Optuna 5.0.0.

To raise Optuna's version, run tests/search/study, look here first if a test fails, and name the new version above. The
rest of the toolkit uses Optuna's documented interface alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy
from optuna.distributions import distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage as CachedStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.study import Study
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.dialects import mysql, postgresql

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
    "write_claim",
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
    """One transaction of one statement a table: each is a round trip to a server that may be far."""
    with _create_scoped_session(storage.scoped_session) as session:
        _set(session, models.StudySystemAttributeModel, {"study_id": study}, end.of_study)
        if trial is None:
            return
        key = {"trial_id": trial}
        _set(session, models.TrialUserAttributeModel, key, end.user_attributes)
        _set(session, models.TrialSystemAttributeModel, key, end.system_attributes)
        _insert_steps(session, trial, end.steps)
        _insert_values(session, trial, end.values)
        complete = end.when.astimezone(UTC).replace(tzinfo=None)
        ended = sqlalchemy.update(models.TrialModel).where(
            models.TrialModel.trial_id == trial, models.TrialModel.state == TrialState.RUNNING
        )
        updated: Any = session.execute(ended.values(state=end.state, _datetime_complete_utc=complete))
        if updated.rowcount != 1:
            raise UpdateFinishedTrialError(f"trial {trial} has ended, or was deleted")


def write_claim(storage: BaseStorage, study: int, trial: FrozenTrial) -> int:
    """Returns the number in a storage of a new trial after writing it whole, in one append or one transaction.

    Optuna's own way asks a database about every parameter; with one writer there is nothing to ask.
    """
    if not isinstance(storage, RDBStorage):
        return storage.create_new_trial(study, trial)
    with _create_scoped_session(storage.scoped_session) as session:
        row = models.TrialModel(study_id=study, number=trial.number, state=trial.state)
        row.datetime_start, row.datetime_complete = trial.datetime_start, trial.datetime_complete
        session.add(row)
        session.flush()
        identity = int(row.trial_id)
        parameters = [
            {
                "trial_id": identity,
                "param_name": name,
                "param_value": distribution.to_internal_repr(trial.params[name]),
                "distribution_json": distribution_to_json(distribution),
            }
            for name, distribution in trial.distributions.items()
        ]
        if parameters:
            session.execute(sqlalchemy.insert(models.TrialParamModel), parameters)
        key = {"trial_id": identity}
        _set(session, models.TrialUserAttributeModel, key, trial.user_attrs)
        _set(session, models.TrialSystemAttributeModel, key, trial.system_attrs)
        _insert_steps(session, identity, trial.intermediate_values)
        _insert_values(session, identity, trial.values)
    return identity


def _set(session: Any, table: Any, owner: Mapping[str, int], attributes: Mapping[str, Any]) -> None:
    """Inserts or replaces attributes."""
    if not attributes:
        return
    rows = [{**owner, "key": name, "value_json": json.dumps(value)} for name, value in attributes.items()]
    if session.get_bind().dialect.name == "mysql":
        of_mysql = mysql.insert(table).values(rows)
        session.execute(of_mysql.on_duplicate_key_update(value_json=of_mysql.inserted.value_json))
        return
    insert = postgresql.insert(table).values(rows)
    replaced = {"value_json": insert.excluded.value_json}
    session.execute(insert.on_conflict_do_update(index_elements=[*owner, "key"], set_=replaced))


def _insert_steps(session: Any, trial: int, steps: Mapping[int, float]) -> None:
    stored = models.TrialIntermediateValueModel
    rows = []
    for step, value in steps.items():
        number, kind = stored.intermediate_value_to_stored_repr(value)
        rows.append({"trial_id": trial, "step": step, "intermediate_value": number, "intermediate_value_type": kind})
    if rows:
        session.execute(sqlalchemy.insert(stored), rows)


def _insert_values(session: Any, trial: int, values: Sequence[float] | None) -> None:
    stored = models.TrialValueModel
    rows = []
    for objective, value in enumerate(values or ()):
        number, kind = stored.value_to_stored_repr(value)
        rows.append({"trial_id": trial, "objective": objective, "value": number, "value_type": kind})
    if rows:
        session.execute(sqlalchemy.insert(stored), rows)
