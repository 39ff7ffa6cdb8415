"""Pruning with data and without training: what is left makes up for what goes, layer by layer."""

from ofa.prune.reconstruction._one_shot import one_shot
from ofa.prune.reconstruction._reconstruct import reconstruct_
from ofa.prune.reconstruction.selecting import Method, Problem, obs, wanda

__all__ = ["Method", "Problem", "obs", "one_shot", "reconstruct_", "wanda"]
