"""Samplers by name, each a function of a SamplerContext: what Hydra makes of `_target_` and `_partial_`."""

from search.candidates.trials import SamplerContext, SamplerFactory
from search.samplers.evolution_sampler import EvolutionSampler, evolution
from search.samplers.guided_sampler import GuidedSampler, guided
from search.samplers.sampler_of import gp, nsga2, nsga3, random, tpe

__all__ = [
    "EvolutionSampler",
    "GuidedSampler",
    "SamplerContext",
    "SamplerFactory",
    "evolution",
    "gp",
    "guided",
    "nsga2",
    "nsga3",
    "random",
    "tpe",
]
