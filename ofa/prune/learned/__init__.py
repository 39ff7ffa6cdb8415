"""Learned pruning: AMC chooses widths, try-and-learn chooses filters; both need only an accuracy function."""

from ofa.prune.learned.amc import amc
from ofa.prune.learned.ddpg import AgentSettings
from ofa.prune.learned.found import Found
from ofa.prune.learned.rewards import error_times_log_cost, filter_reward, negative_error
from ofa.prune.learned.try_and_learn import try_and_learn

__all__ = [
    "AgentSettings",
    "Found",
    "amc",
    "error_times_log_cost",
    "filter_reward",
    "negative_error",
    "try_and_learn",
]
