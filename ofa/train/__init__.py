"""Training of supernets and of plain networks: one loop, and small functions that it is given."""

from ofa.task import Batch
from ofa.task.losses import label_loss, soft_cross_entropy
from ofa.train._logged import logged
from ofa.train.callbacks import progress_rows
from ofa.train.loop import Callback, Event, run
from ofa.train.network import Distillation, MakePruner, NetworkTraining, train_network
from ofa.train.optimizers import OptimizerBuilder, parameter_groups
from ofa.train.schedules import OFA_PHASES, Phase, Schedule, constant, cosine, restarts
from ofa.train.settings import TrainSettings
from ofa.train.state import History, TrainState, new_state
from ofa.train.step import Step, StepContext, Strategy
from ofa.train.strategies import progressive, sandwich, single
from ofa.train.supernet import train
from ofa.train.teachers import Teacher

__all__ = [
    "OFA_PHASES",
    "Batch",
    "Callback",
    "Distillation",
    "Event",
    "History",
    "MakePruner",
    "NetworkTraining",
    "OptimizerBuilder",
    "Phase",
    "Schedule",
    "Step",
    "StepContext",
    "Strategy",
    "Teacher",
    "TrainSettings",
    "TrainState",
    "constant",
    "cosine",
    "label_loss",
    "logged",
    "new_state",
    "parameter_groups",
    "progress_rows",
    "progressive",
    "restarts",
    "run",
    "sandwich",
    "single",
    "soft_cross_entropy",
    "train",
    "train_network",
]
