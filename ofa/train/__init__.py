"""Training of supernets and of plain networks: a loop each, and small functions that it is given."""

from ofa.train.context import StepContext, Strategy
from ofa.train.loop import train
from ofa.train.losses import label_loss, soft_cross_entropy
from ofa.train.network import NetworkTraining, train_network
from ofa.train.optimizers import OptimizerBuilder, parameter_groups
from ofa.train.phases import OFA_PHASES, Phase
from ofa.train.resume import History
from ofa.train.schedules import Schedule, constant, cosine, restarts
from ofa.train.strategies import progressive, sandwich, single

__all__ = [
    "OFA_PHASES",
    "History",
    "NetworkTraining",
    "OptimizerBuilder",
    "Phase",
    "Schedule",
    "StepContext",
    "Strategy",
    "constant",
    "cosine",
    "label_loss",
    "parameter_groups",
    "progressive",
    "restarts",
    "sandwich",
    "single",
    "soft_cross_entropy",
    "train",
    "train_network",
]
