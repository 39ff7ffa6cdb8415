"""Criteria: what each weight or filter is worth, more being better.

A criterion is any function of a `PruneContext` (see ofa/prune/context.py); options are keyword arguments, fixed with
`functools.partial` or Hydra's `_partial_`. It leaves the model, its gradients and the global RNG unchanged,
and criteria that measure on data run the model in eval mode.
"""

from ofa.prune.criteria._activation import activation
from ofa.prune.criteria._apoz import apoz
from ofa.prune.criteria._fpgm import fpgm
from ofa.prune.criteria._grasp import grasp
from ofa.prune.criteria._magnitude import magnitude
from ofa.prune.criteria._magnitude_per_bit import magnitude_per_bit
from ofa.prune.criteria._norm_scale import norm_scale
from ofa.prune.criteria._normalized import Normalized, normalized
from ofa.prune.criteria._probabilistic import probabilistic
from ofa.prune.criteria._random_ import random_
from ofa.prune.criteria._snip import snip
from ofa.prune.criteria._std_threshold import std_threshold
from ofa.prune.criteria._synflow import synflow
from ofa.prune.criteria._taylor import taylor
from ofa.prune.criteria.movement import Movement
from ofa.prune.criteria.sensitivity import qualities, sensitivity_scan

__all__ = [
    "Movement",
    "Normalized",
    "activation",
    "apoz",
    "fpgm",
    "grasp",
    "magnitude",
    "magnitude_per_bit",
    "norm_scale",
    "normalized",
    "probabilistic",
    "qualities",
    "random_",
    "sensitivity_scan",
    "snip",
    "std_threshold",
    "synflow",
    "taylor",
]
