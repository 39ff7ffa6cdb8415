"""propose: how a trial becomes a Candidate. What does not count is never asked."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import BaseTrial

from search.candidate import Candidate, Setting
from search.candidate_space import CandidateSpace
from search.parameters import OneOf, Parameter, is_active


def propose(trial: BaseTrial, space: CandidateSpace) -> Candidate:
    """Returns the Candidate that `trial` suggests: depths before what they gate, choices before their parameters.

    A choice with one value is taken, not suggested. Choices of the Arch are categorical and not integer: in TPE
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
    """Returns what `propose` may suggest, by key."""
    choices = [choice for choice in space.archs.choices if len(choice.values) > 1]
    parameters = [one for one in space.parameters if one.count > 1]
    return {choice.key: CategoricalDistribution(choice.values) for choice in choices} | {
        one.name: one.distribution for one in parameters
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
