"""Granularity: what is removed as one, from single weights to the coupled channels of a whole network."""

from ofa.prune.granularity.block import BlockGranularity, block
from ofa.prune.granularity.channel import ChannelGranularity, channel
from ofa.prune.granularity.n_of_m import NOfMGranularity, n_of_m
from ofa.prune.granularity.pool import Granularity, Pool
from ofa.prune.granularity.weight import WeightGranularity, weight

__all__ = [
    "BlockGranularity",
    "ChannelGranularity",
    "Granularity",
    "NOfMGranularity",
    "Pool",
    "WeightGranularity",
    "block",
    "channel",
    "n_of_m",
    "weight",
]
