"""Learned pruning: AMC chooses widths and try-and-learn filters, by a score alone; gates and a policy, connections."""

from ofa.prune.learned._amc import amc
from ofa.prune.learned._connection_policy import learn_connection_policy
from ofa.prune.learned._learn_connections import LearnedConnections, learn_connections
from ofa.prune.learned._try_and_learn import try_and_learn
from ofa.prune.learned.ddpg import AgentSettings
from ofa.prune.learned.gates import HardConcrete, StraightThrough
from ofa.prune.learned.rewards import LearnedNetwork, error_times_log_cost, filter_reward, negative_error

__all__ = [
    "AgentSettings",
    "HardConcrete",
    "LearnedConnections",
    "LearnedNetwork",
    "StraightThrough",
    "amc",
    "error_times_log_cost",
    "filter_reward",
    "learn_connection_policy",
    "learn_connections",
    "negative_error",
    "try_and_learn",
]
