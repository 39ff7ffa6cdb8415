"""Granularity: what is removed as a unit, from single weights to the coupled channels of a whole network."""

from ofa.prune.granularity._block import BlockGranularity, block
from ofa.prune.granularity._channel import ChannelGranularity, channel
from ofa.prune.granularity._n_of_m import NOfMGranularity, n_of_m
from ofa.prune.granularity._weight import WeightGranularity, weight
from ofa.prune.granularity.pool import Granularity, Pool

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
