"""Trials: a candidate proposed by an Optuna trial, written into it and read back as a row; SamplerContext."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial, Trial, TrialState

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import convert
from ofa.task import Score
from search.candidates.figures import CandidateFigures, Floats, is_figure
from search.candidates.limits import Bools, Limits, meets
from search.candidates.optuna_internals import set_constraints
from search.candidates.parameters import OneOf, Parameter, is_active
from search.candidates.search_files import State, TrialRow
from search.candidates.space import Candidate, CandidateSpace, TuningEpoch
from search.run.cards import Setting
from search.run.scores import Values

ARCH = "arch"
SCORES = "scores"  # of its evaluation by metric, the objective first
SETTINGS = "settings"  # besides the Arch; absent where nothing else is searched
HISTORY = "history"  # of its fine-tuning, one row per epoch
STOPPED_AT = "stopped_at"  # the epoch after which a candidate was stopped early
REASON = "reason"  # why a trial has no values: why it was not evaluated, or what failed
ENDED = "ended"  # how many trials had ended before it, where that is not its number
RESUMED = "resumed"  # when its evaluation was begun again, where a kill had ended it: ISO 8601


def trial_rows(study: Study) -> list[TrialRow]:
    """Returns every finished trial of a study, in order.

    Raises:
        InvalidInput: a trial is damaged.
    """
    return [_row(trial) for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def figures_of(trial: FrozenTrial) -> dict[str, float]:
    """Returns the free figures stored in a trial, by name."""
    return {name: float(trial.user_attrs[name]) for name in trial.user_attrs if is_figure(name)}


def write_candidate(
    trial: Trial, candidate: Candidate, figures: Mapping[str, float], excess: Mapping[str, float]
) -> None:
    """Writes the candidate, its free figures and by what fraction each limit is exceeded (0 or less: met).

    The constraints are written twice: Optuna reads the named ones, optuna-dashboard the legacy list. Samplers then see
    each violation twice, which does not change their order.
    """
    if candidate.settings:
        trial.set_user_attr(SETTINGS, dict(candidate.settings))
    trial.set_user_attr(ARCH, candidate.arch.to_json())  # after the settings: it marks the candidate as complete
    for name, value in figures.items():
        trial.set_user_attr(name, _plain(value))
    for name, value in excess.items():
        trial.set_constraint(name, value)
    if excess:
        set_constraints(trial, list(excess.values()))


def write_violations(trial: Trial, excess: Mapping[str, float]) -> None:
    """Adds by what fraction each limit on a metric is missed (0 or less: met), once a trial is evaluated."""
    for name, value in excess.items():
        trial.set_constraint(name, value)
    if excess:
        set_constraints(trial, list(named_constraints(trial).values()))


def named_constraints(trial: BaseTrial) -> dict[str, float]:
    """Returns by what fraction a trial exceeds each limit, by name; Optuna has numbered copies beside them."""
    return {name: value for name, value in trial.constraints.items() if not name.isdigit()}


def candidate_of(trial: FrozenTrial) -> Candidate | None:
    """Returns the candidate stored in a trial; None where it was not written."""
    if ARCH not in trial.user_attrs:
        return None
    return Candidate(Arch.from_json(trial.user_attrs[ARCH]), tuple(trial.user_attrs.get(SETTINGS, {}).items()))


def state_of(trial: FrozenTrial) -> State | Literal["running"]:
    """Returns the state of a trial as TrialRow names it, or "running"."""
    if trial.state == TrialState.RUNNING:
        return "running"
    if trial.state == TrialState.COMPLETE:
        return "evaluated"
    if trial.state == TrialState.PRUNED and STOPPED_AT in trial.user_attrs:
        return "given up"
    if trial.state == TrialState.PRUNED:
        return "infeasible" if any(value > 0 for value in trial.constraints.values()) else "duplicate"
    return "failed"


def _row(trial: FrozenTrial) -> TrialRow:
    try:
        return _read(trial)
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(
            f"trial {trial.number} of the study is damaged or was edited ({error}); restore its journal, or search "
            f"again with force=true"
        ) from None


def _read(trial: FrozenTrial) -> TrialRow:
    attributes, state = trial.user_attrs, state_of(trial)
    assert state != "running"  # `trial_rows` selects finished trials
    return TrialRow(
        number=trial.number,
        state=state,
        arch=Arch.from_json(attributes[ARCH]) if ARCH in attributes else None,
        figures=figures_of(trial),
        scores=convert(attributes.get(SCORES, {}), Values, "its scores"),
        seconds=attributes.get("seconds"),
        cached=bool(attributes.get("cached", False)),
        reason=str(attributes.get(REASON, "")),
        settings=attributes.get(SETTINGS, {}),
        history=convert(attributes.get(HISTORY, []), tuple[TuningEpoch, ...], "its history"),
    )


def _plain(value: float) -> int | float:
    """The value, as an int if it is whole, so that counts are stored as counts."""
    return int(value) if float(value).is_integer() else float(value)


def propose(trial: BaseTrial, space: CandidateSpace) -> Candidate:
    """Returns the Candidate that `trial` suggests: depths before the choices they gate, choices before parameters.

    A choice with one value is set without a suggestion. Choices of the Arch are categorical, not integer: with TPE,
    ordered integers did clearly worse on a space like this one (hypervolume 0.58 against 0.64 at 200 evaluations).
    """
    values: dict[str, int] = {}
    for choice in space.archs.choices:
        if choice.is_active(values):
            fixed = len(choice.values) == 1
            values[choice.key] = choice.values[0] if fixed else trial.suggest_categorical(choice.key, choice.values)
    settings: dict[str, Setting] = {}
    for parameter in space.parameters:
        if is_active(parameter, settings):
            settings[parameter.name] = suggest(trial, parameter)
    return space.candidate(space.archs.arch(values), settings)


def suggest(trial: BaseTrial, parameter: Parameter) -> Setting:
    """Returns the value that `trial` suggests for a parameter."""
    if not isinstance(parameter, OneOf):
        if parameter.whole:
            return trial.suggest_int(parameter.name, int(parameter.low), int(parameter.high), log=parameter.log)
        return trial.suggest_float(parameter.name, parameter.low, parameter.high, log=parameter.log)
    if len(parameter.values) == 1:
        return parameter.values[0]
    value = trial.suggest_categorical(parameter.name, parameter.values)
    assert value is not None
    return value


def distributions(space: CandidateSpace) -> dict[str, BaseDistribution]:
    """Returns the distributions that `propose` may draw from, by key."""
    choices = [choice for choice in space.archs.choices if len(choice.values) > 1]
    parameters = [parameter for parameter in space.parameters if parameter.count > 1]
    return {choice.key: CategoricalDistribution(choice.values) for choice in choices} | {
        parameter.name: parameter.distribution for parameter in parameters
    }


def trial_parameters(candidate: Candidate, space: CandidateSpace) -> dict[str, Setting]:
    """Returns the trial parameters that make `propose` return `candidate`.

    Raises:
        InvalidArch: its Arch is not in the space.
    """
    space.archs.validate(candidate.arch)
    known = distributions(space)
    values = {**candidate.arch.values, **candidate.values}
    return {key: value for key, value in values.items() if key in known}


@dataclass(frozen=True)
class TrialProgress:
    """The end of a trial, as reported while a search runs.

    Attributes:
        state: as in `search.candidates.search_files.TrialRow`.
        reason: why it was refused or failed; empty for other trials.
        trial: its number.
        score: of the objective; None if it was not evaluated to any epoch.
        figures: its free figures by name.
        done, evaluations: how many evaluations of all are done, and requested.
    """

    state: str
    reason: str = ""
    trial: int | None = None
    score: Score | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    done: int = 0
    evaluations: int = 0

    @property
    def is_evaluation(self) -> bool:
        """Whether the trial counts as one of the requested evaluations."""
        return self.state in ("evaluated", "given up", "failed")


@dataclass(frozen=True)
class SamplerContext:
    """The argument of every sampler's constructor; Optuna's own samplers use only the seed.

    `step` counts the trials finished or running so far: a sampler created again for (seed, step) proposes the same
    after a kill. `running` of them are being evaluated, by at most `evaluators` at once. `expected` predicts the
    qualities (larger is better) that candidates have in the supernet, if it was fitted; `fractions` says whether these
    are from 0 to 1.
    """

    space: CandidateSpace
    figures: CandidateFigures
    limits: Limits
    seed: int
    step: int = 0
    running: int = 0
    expected: Callable[[Sequence[Candidate]], Floats] | None = None
    fractions: bool = True
    evaluators: int = 1

    @property
    def step_seed(self) -> int:
        """A 32-bit seed for this step."""
        return int(np.random.SeedSequence([self.seed, self.step]).generate_state(1)[0])

    def feasible(self, candidates: Sequence[Candidate], allowed: Mapping[str, float]) -> Bools:
        """Returns a bool (candidates,): True where every predicted figure is within `allowed`."""
        return meets(self.figures(candidates), allowed)


SamplerFactory = Callable[[SamplerContext], BaseSampler]
