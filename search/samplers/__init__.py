"""Samplers by name: each a function of a SamplerContext, so that Hydra's `_target_` with `_partial_` makes one."""

from search.samplers.context import SamplerContext, SamplerFactory
from search.samplers.evolution import EvolutionSampler, evolution
from search.samplers.plain import nsga2, random, tpe

__all__ = ["EvolutionSampler", "SamplerContext", "SamplerFactory", "evolution", "nsga2", "random", "tpe"]
