"""Tasks: what a network learns and how it is judged; its loss, its metrics and the check of its outputs."""

from ofa.task.batch import Batch, as_batch
from ofa.task.classification import classification
from ofa.task.metric import Metric, Score
from ofa.task.scoring import Outputs, scores
from ofa.task.task import Task, call_network

__all__ = ["Batch", "Metric", "Outputs", "Score", "Task", "as_batch", "call_network", "classification", "scores"]
