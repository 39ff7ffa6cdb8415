"""The base of samplers that propose whole candidates, the goals of their steps and the trials they learn from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from ofa.errors import InvalidInput
from search.candidates.feasible import find_unseen
from search.candidates.figures import is_figure
from search.candidates.history import history_of
from search.candidates.limits import meets
from search.candidates.space import Candidate
from search.candidates.trials import (
    SamplerContext,
    distributions,
    named_constraints,
    trial_parameters,
)

Goal = Mapping[str, float]  # the most that a proposal may cost, by figure
LEVELS = (1.0, 0.75, 0.5, 0.25)  # goals of a front, as fractions of the way from the smallest candidate to a limit
CHILDREN = 64
MUTATION = 0.1


def unseen_candidate(
    context: SamplerContext, seen: Container[Candidate], near: Sequence[Candidate], rng: np.random.Generator
) -> Candidate:
    """Returns a candidate that is not in `seen` and within the target of the step, else within the hard limits.

    It resembles one of `near` if possible. If no such candidate exists it is a uniform draw, which the study then
    judges.
    """
    limits = context.limits
    for allowed in (limits.allowed(limits.targets[context.step % len(limits.targets)]), limits.hard):
        if near:
            children = [context.space.mutate(near[number % len(near)], rng, MUTATION) for number in range(CHILDREN)]
            fresh = [child for child in dict.fromkeys(children) if child not in seen]
            good = np.flatnonzero(context.feasible(fresh, allowed)) if fresh else np.zeros(0, dtype=np.int64)
            if len(good):
                return fresh[int(good[0])]
        unseen = find_unseen(context.space, context.figures, allowed, seen, rng, near=near)
        if unseen is not None:
            return unseen
    return context.space.sample(rng)


class CandidateSampler(BaseSampler):
    """An Optuna sampler that proposes one Candidate at a time, by `next_candidate`."""

    def __init__(self, context: SamplerContext) -> None:
        self._context = context

    @abstractmethod
    def next_candidate(self, study: Study) -> Candidate:
        """Returns the candidate of this step, a function of the trials of `study`, the seed and the step."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns the distributions of all parameters with more than one value."""
        return distributions(self._context.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Returns the parameters of one candidate."""
        return trial_parameters(self.next_candidate(study), self._context.space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Returns a uniform draw, for a parameter that is not in the space."""
        chance = RandomSampler(seed=self._context.step_seed)
        return chance.sample_independent(study, trial, param_name, param_distribution)


def metric_index(study: Study) -> int:
    """Returns the index of the metric among the objectives: the only one that is no figure.

    Raises:
        InvalidInput: several objectives without names.
    """
    names = study.metric_names
    if names is None and len(study.directions) > 1:
        raise InvalidInput("a search of several objectives needs a study that names them: study.set_metric_names")
    return next((index for index, name in enumerate(names or []) if not is_figure(name)), 0)


def quality_of(study: Study, trial: FrozenTrial) -> float:
    """Returns the metric of an evaluated trial with a sign, so that more is better."""
    index = metric_index(study)
    value = float(trial.values[index])
    return value if study.directions[index] == StudyDirection.MAXIMIZE else -value


def qualities_of(study: Study, trials: Sequence[FrozenTrial]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Returns the quality of each evaluated trial, (trials,); one that misses a limit on a metric is worth no more than
    the worst that keeps them, and where none does, the less the more it misses.
    """
    qualities = np.array([quality_of(study, trial) for trial in trials], dtype=np.float64)
    excess = np.array([metric_excess(trial) for trial in trials])
    if not (excess > 0).any():
        return qualities
    feasible = qualities[excess <= 0]
    return np.where(excess > 0, np.minimum(qualities, feasible.min()), qualities) if len(feasible) else -excess


def metric_excess(trial: FrozenTrial) -> float:
    """Returns by how much a trial misses the limits on metrics, fractions of them added up; 0 where it keeps all."""
    return sum(max(0.0, value) for name, value in named_constraints(trial).items() if not is_figure(name))


def objective_figures(study: Study) -> list[str]:
    """Returns the names of the objectives beside the metric.

    Raises:
        InvalidInput: several objectives without names.
    """
    index = metric_index(study)
    return [name for number, name in enumerate(study.metric_names or []) if number != index]


def goals_of(context: SamplerContext, objectives: Sequence[str]) -> list[Goal]:
    """Returns the goals that proposals take in turn: what each may cost.

    With the metric as the only objective these are the targets. For a front each target is split into `LEVELS`, from
    the smallest candidate's figures to its limits, or to the largest candidate's figure where an objective has no
    limit.
    """
    targets = [context.limits.allowed(target) for target in context.limits.targets]
    if not objectives:
        return list(targets)
    figures = context.figures([context.space.smallest, context.space.largest])
    ends = {name: (float(figures[name][0]), float(figures[name][1])) for name in objectives}
    goals: list[Goal] = []
    for level in LEVELS:
        for target in targets:
            parts = {name: least + level * (target.get(name, most) - least) for name, (least, most) in ends.items()}
            goals.append({**target, **parts})
    return goals


def tightest(context: SamplerContext, goals: Sequence[Goal], candidates: Sequence[Candidate]) -> list[int]:
    """Returns for each candidate the index of the last goal that it meets, 0 where it meets none.

    Goals come from the loosest to the tightest level.
    """
    if not candidates:
        return []
    figures = context.figures(candidates)
    last_met = [0] * len(candidates)
    for index, goal in enumerate(goals):
        for row, met in enumerate(meets(figures, goal)):
            last_met[row] = index if met else last_met[row]
    return last_met


@dataclass(frozen=True)
class FinishedTrial:
    """A trial that was evaluated to its end."""

    number: int
    candidate: Candidate
    quality: float  # larger is better


def finished_trials(study: Study) -> list[FinishedTrial]:
    """Returns the evaluated trials in the order in which they ended, so that new ones only append."""

    def add(trials: list[FinishedTrial], trial: FrozenTrial, candidate: Candidate) -> None:
        trials.append(FinishedTrial(trial.number, candidate, quality_of(study, trial)))

    known: list[FinishedTrial] = history_of(study).fold("finished_trials", list, add)
    return list(known)
