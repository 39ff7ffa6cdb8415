"""Regularizers of weights: terms of the loss, and proximal steps that give exact zeros."""

from ofa.prune.regularizers.controlled import ControlledLasso
from ofa.prune.regularizers.elementwise import L1, L2, NormL1, ProximalL1, ProximalL2
from ofa.prune.regularizers.groups import GroupLasso, SparseGroupLasso
from ofa.prune.regularizers.integers import IntegerAttracting
from ofa.prune.regularizers.orthogonal import Orthogonal
from ofa.prune.regularizers.regularizer import AsLoss, Penalty, Proximal, Regularizer, proximal_steps_, total_penalty

__all__ = [
    "L1",
    "L2",
    "AsLoss",
    "ControlledLasso",
    "GroupLasso",
    "IntegerAttracting",
    "NormL1",
    "Orthogonal",
    "Penalty",
    "Proximal",
    "ProximalL1",
    "ProximalL2",
    "Regularizer",
    "SparseGroupLasso",
    "proximal_steps_",
    "total_penalty",
]
