"""Learned pruning: AMC chooses widths, try-and-learn chooses filters; both need only an accuracy function."""

from ofa.prune.learned._amc import amc
from ofa.prune.learned._try_and_learn import try_and_learn
from ofa.prune.learned.ddpg import AgentSettings
from ofa.prune.learned.rewards import Found, error_times_log_cost, filter_reward, negative_error

__all__ = [
    "AgentSettings",
    "Found",
    "amc",
    "error_times_log_cost",
    "filter_reward",
    "negative_error",
    "try_and_learn",
]
