"""Samplers by name, each a function of a SamplerContext: what Hydra makes of `_target_` and `_partial_`."""

from search.samplers.amc_sampler import AmcSampler, amc
from search.samplers.context import SamplerContext, SamplerFactory
from search.samplers.evolution_sampler import EvolutionSampler, evolution
from search.samplers.filter_policy_sampler import FilterPolicySampler, filter_policy
from search.samplers.guided_sampler import GuidedSampler, guided
from search.samplers.plain import gp, nsga2, nsga3, random, tpe

__all__ = [
    "AmcSampler",
    "EvolutionSampler",
    "FilterPolicySampler",
    "GuidedSampler",
    "SamplerContext",
    "SamplerFactory",
    "amc",
    "evolution",
    "filter_policy",
    "gp",
    "guided",
    "nsga2",
    "nsga3",
    "random",
    "tpe",
]
