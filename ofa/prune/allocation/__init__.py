"""Allocations: how many pieces each layer keeps. Each is a function of an `AllocationContext`; its options are
keyword arguments, given by functools.partial or by a config with `_partial_: true`."""

from ofa.prune.allocation._by_group import by_group
from ofa.prune.allocation.cost_budget import budget
from ofa.prune.allocation.erdos_renyi import er, erk
from ofa.prune.allocation.fixed_rates import per_layer
from ofa.prune.allocation.global_ranking import global_
from ofa.prune.allocation.layer_adaptive import lamp
from ofa.prune.allocation.score_level import threshold

__all__ = ["budget", "by_group", "er", "erk", "global_", "lamp", "per_layer", "threshold"]
