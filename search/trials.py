"""What a trial carries, written before it is told and read back as plain rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from ofa.arch import Arch
from search.candidate import Candidate, Setting
from search.figures import is_figure

ARCH = "arch"
SETTINGS = "settings"  # beside the Arch; absent where nothing else is searched
HISTORY = "history"  # of its fine-tuning, a row an epoch
STOPPED_AT = "stopped_at"  # the epoch after which a candidate was given up
REASON = "reason"  # why a trial has no values: what kept it from being evaluated, or what failed
INTERRUPTED = "interrupted"  # the reason of a trial whose search was stopped
KILLED = "its worker died"  # the reason of a trial whose worker died while others went on
WORKER = "worker"  # who runs a trial, where a study has several workers
DASHBOARD_CONSTRAINTS = "constraints"  # the old attribute, the only one that optuna-dashboard reads


@dataclass(frozen=True)
class TrialRow:
    """One finished trial. `state` is "evaluated", "given up", "infeasible", "duplicate", "failed" or "interrupted"."""

    number: int
    state: str
    arch: Arch | None
    figures: Mapping[str, float]  # by name, see search.figures; latencies are predictions
    accuracy: float | None  # fraction, on validation
    seconds: float | None  # that the evaluation took
    cached: bool
    reason: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()  # of its fine-tuning, a row an epoch

    @property
    def candidate(self) -> Candidate | None:
        """The Arch with its settings."""
        return None if self.arch is None else Candidate(self.arch, tuple(self.settings.items()))

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return {
            **vars(self),
            "arch": self.arch.to_dict() if self.arch else None,
            "settings": dict(self.settings),
            "history": [dict(row) for row in self.history],
            "figures": dict(self.figures),
        }


def trial_rows(study: Study) -> list[TrialRow]:
    """Returns every finished trial of a study, in order."""
    return [_row(trial) for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def figures_of(trial: FrozenTrial) -> dict[str, float]:
    """Returns the free figures that a trial carries, by name."""
    return {name: float(trial.user_attrs[name]) for name in trial.user_attrs if is_figure(name)}


def write_candidate(
    trial: Trial, candidate: Candidate, figures: Mapping[str, float], excess: Mapping[str, float]
) -> None:
    """Writes the candidate, its free figures and by what fraction each limit is exceeded (0 or less: kept).

    The constraints are written twice: Optuna reads the named ones, optuna-dashboard the old list. Samplers
    then see each violation twice, which changes no order.
    """
    trial.set_user_attr(ARCH, candidate.arch.to_json())
    if candidate.settings:
        trial.set_user_attr(SETTINGS, dict(candidate.settings))
    for name, value in figures.items():
        trial.set_user_attr(name, _plain(value))
    for name, value in excess.items():
        trial.set_constraint(name, value)
    if excess:
        trial.storage.set_trial_system_attr(trial._trial_id, DASHBOARD_CONSTRAINTS, list(excess.values()))


def candidate_of(trial: FrozenTrial) -> Candidate | None:
    """Returns the candidate that a trial carries; None where it was not written."""
    if ARCH not in trial.user_attrs:
        return None
    return _candidate(trial.user_attrs[ARCH], tuple(trial.user_attrs.get(SETTINGS, {}).items()))


@lru_cache(maxsize=1 << 14)  # a step looks at every trial before it: reading them anew made long searches slow
def _candidate(arch: str, settings: tuple[tuple[str, Setting], ...]) -> Candidate:
    return Candidate(Arch.from_json(arch), settings)


def state_of(trial: FrozenTrial) -> str:
    """Returns the state of a trial in the words of TrialRow, or "running"."""
    if trial.state == TrialState.RUNNING:
        return "running"
    if trial.state == TrialState.COMPLETE:
        return "evaluated"
    if trial.state == TrialState.PRUNED and STOPPED_AT in trial.user_attrs:
        return "given up"
    if trial.state == TrialState.PRUNED:
        return "infeasible" if any(value > 0 for value in trial.constraints.values()) else "duplicate"
    return "interrupted" if trial.user_attrs.get(REASON) in (INTERRUPTED, KILLED) else "failed"


def _row(trial: FrozenTrial) -> TrialRow:
    attributes = trial.user_attrs
    return TrialRow(
        number=trial.number,
        state=state_of(trial),
        arch=Arch.from_json(attributes[ARCH]) if ARCH in attributes else None,
        figures=figures_of(trial),
        accuracy=attributes.get("accuracy"),
        seconds=attributes.get("seconds"),
        cached=bool(attributes.get("cached", False)),
        reason=str(attributes.get(REASON, "")),
        settings=attributes.get(SETTINGS, {}),
        history=tuple(attributes.get(HISTORY, ())),
    )


def _plain(value: float) -> int | float:
    """Returns whole numbers as int, so that counts read as counts."""
    return int(value) if float(value).is_integer() else float(value)
