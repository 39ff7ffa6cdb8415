"""Initializers: functions (model, images, generator) that give a model's layers new weights, in place."""

from ofa.prune.initializers.data_dependent import data_dependent_
from ofa.prune.initializers.layers import Initializer
from ofa.prune.initializers.lsuv import lsuv_
from ofa.prune.initializers.random_ import kaiming_, orthogonal_, xavier_

__all__ = ["Initializer", "data_dependent_", "kaiming_", "lsuv_", "orthogonal_", "xavier_"]
