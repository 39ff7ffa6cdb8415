"""Engines: where the work of a verb runs, each a function that a configuration names by `_target_`.

Of a search they evaluate candidates, as functions of a Source; of a training they start its processes, as functions of
a Command.
"""

from search.engine._local import local
from search.engine._ray import alone, ray
from search.engine._ray_training import ray_training
from search.engine._slurm import slurm
from search.engine.command import Command, StartTraining
from search.engine.engine import Engine, EvaluatorDied, MakeEngine, Source

__all__ = [
    "Command",
    "Engine",
    "EvaluatorDied",
    "MakeEngine",
    "Source",
    "StartTraining",
    "alone",
    "local",
    "ray",
    "ray_training",
    "slurm",
]
