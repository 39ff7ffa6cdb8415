"""Samplers by name, each a function of a SamplerContext: what Hydra makes of `_target_` and `_partial_`."""

from search.samplers.context import SamplerContext, SamplerFactory
from search.samplers.evolution_sampler import EvolutionSampler, evolution
from search.samplers.plain import nsga2, random, tpe

__all__ = ["EvolutionSampler", "SamplerContext", "SamplerFactory", "evolution", "nsga2", "random", "tpe"]
