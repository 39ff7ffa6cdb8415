"""Engines: where candidates are evaluated, each a function of a Source that a configuration names by `_target_`."""

from search.engine._local import local
from search.engine._ray import ray
from search.engine.engine import Engine, EvaluatorDied, MakeEngine, Source

__all__ = ["Engine", "EvaluatorDied", "MakeEngine", "Source", "local", "ray"]
