"""Every use of Optuna's private interface, in one place; tested with Optuna 5.0.0.

To raise Optuna's version, run tests/search/study, look here first if a test fails, and name the new version above. The
rest of the toolkit uses Optuna's documented interface alone.
"""

from __future__ import annotations

from typing import Any

from optuna import pruners
from optuna.pruners import BasePruner
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage as CachedStorage
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.study import Study
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, Trial

__all__ = [
    "DASHBOARD_CONSTRAINTS",
    "BaseJournalFileLock",
    "CachedStorage",
    "FrozenStudy",
    "all_trials",
    "cached",
    "filtered_by",
    "forget_cached_trials",
    "set_constraints",
    "set_trial_attribute",
    "stale_trial_ids",
    "storage_of",
    "study_attributes",
    "study_id",
    "trial_id",
]

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


def all_trials(study: Study) -> list[FrozenTrial]:
    """Returns the trials of a study as the storage has them, not copied."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def study_attributes(study: Study) -> dict[str, Any]:
    """Returns the system attributes of a study."""
    return study._storage.get_study_system_attrs(study._study_id)


def set_trial_attribute(study: Study, trial: FrozenTrial, key: str, value: Any) -> None:
    """Sets a user attribute of another worker's trial.

    Raises:
        optuna.exceptions.UpdateFinishedTrialError: the trial has ended.
    """
    study._storage.set_trial_user_attr(trial._trial_id, key, value)


def set_constraints(trial: Trial, excess: list[float]) -> None:
    """Writes by how much a trial exceeds each limit (0 or less: met), where the dashboard looks for it."""
    trial.storage.set_trial_system_attr(trial._trial_id, DASHBOARD_CONSTRAINTS, excess)


def cached(storage: RDBStorage) -> CachedStorage:
    """Returns a storage that reads each finished trial from the database once."""
    return CachedStorage(storage)


def stale_trial_ids(storage: CachedStorage, study: Study) -> list[int]:
    """Returns the ids of the trials whose heartbeat has stopped."""
    return storage._get_stale_trial_ids(study._study_id)


def forget_cached_trials(study: Study) -> None:
    """Makes a study read its trials again."""
    study._thread_local.cached_all_trials = None


def filtered_by(pruner: BasePruner, study: Study, trial: FrozenTrial) -> Study:
    """Returns the study as a pruner with brackets shows it to samplers: with the trials of this trial's bracket."""
    study.pruner = pruner
    return pruners._filter_study(study, trial)
