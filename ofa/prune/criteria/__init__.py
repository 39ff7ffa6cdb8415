"""Criteria: what each weight or filter is worth, more being better.

A criterion is any function of a `PruneContext` (see ofa/prune/context.py); options are keyword arguments, fixed with
`functools.partial` or Hydra's `_partial_`. It leaves the model, its gradients and the global RNG as they were, and
what measures on data runs the model in eval mode.
"""

from ofa.prune.criteria.activation import activation
from ofa.prune.criteria.apoz import apoz
from ofa.prune.criteria.fpgm import fpgm
from ofa.prune.criteria.grasp import grasp
from ofa.prune.criteria.magnitude import magnitude
from ofa.prune.criteria.movement import Movement
from ofa.prune.criteria.norm_scale import norm_scale
from ofa.prune.criteria.normalised import Normalised, normalised
from ofa.prune.criteria.probabilistic import probabilistic
from ofa.prune.criteria.random_ import random_
from ofa.prune.criteria.sensitivity import qualities, sensitivity_scan
from ofa.prune.criteria.snip import snip
from ofa.prune.criteria.std_threshold import std_threshold
from ofa.prune.criteria.synflow import synflow
from ofa.prune.criteria.taylor import taylor

__all__ = [
    "Movement",
    "Normalised",
    "activation",
    "apoz",
    "fpgm",
    "grasp",
    "magnitude",
    "norm_scale",
    "normalised",
    "probabilistic",
    "qualities",
    "random_",
    "sensitivity_scan",
    "snip",
    "std_threshold",
    "synflow",
    "taylor",
]
