"""CandidateSampler: what samplers of whole candidates have in common; each says how a candidate is found."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.candidate import Candidate
from search.propose import distributions, trial_parameters
from search.samplers.context import SamplerContext


class CandidateSampler(BaseSampler):
    """An Optuna sampler that proposes a Candidate of a space at a time, by `next_candidate`."""

    def __init__(self, context: SamplerContext) -> None:
        self._context = context

    @abstractmethod
    def next_candidate(self, study: Study) -> Candidate:
        """Returns the candidate of this step, a function of the trials of `study`, the seed and the step."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns everything with more than one value."""
        return distributions(self._context.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Returns the parameters of one candidate."""
        return trial_parameters(self.next_candidate(study), self._context.space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Returns a uniform draw, for a parameter that is no choice of the space."""
        chance = RandomSampler(seed=self._context.step_seed)
        return chance.sample_independent(study, trial, param_name, param_distribution)
