"""Pruning: criteria, allocation, schedules, regrowth, initializers and regularizers that compose in one Pruner."""

from ofa.prune.optimizer_settings import carry_scheduler
from ofa.prune.pruner import Pruner
from ofa.prune.schedules import Constant, Cosine, Cubic, Doubling, EveryEpoch, Geometric, Linear, OneShot
from ofa.prune.times import resolved

__all__ = [
    "Constant",
    "Cosine",
    "Cubic",
    "Doubling",
    "EveryEpoch",
    "Geometric",
    "Linear",
    "OneShot",
    "Pruner",
    "carry_scheduler",
    "resolved",
]
