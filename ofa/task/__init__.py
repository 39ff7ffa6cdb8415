"""Tasks: what a network learns and how it is judged; its loss, its metrics and the check of its outputs."""

from ofa.task._classification import classification, sequence_classification
from ofa.task._detection import detection
from ofa.task._from_torchmetrics import from_torchmetrics
from ofa.task._language_model import language_model
from ofa.task._multilabel import multilabel
from ofa.task._own_loss import own_loss
from ofa.task._regression import regression
from ofa.task._segmentation import segmentation
from ofa.task.batch import Batch, as_batch
from ofa.task.detail import Detail
from ofa.task.metric import Metric, Score
from ofa.task.paired import Replicates, paired_difference, replicates
from ofa.task.scoring import Outputs, baseline_scores, details, scores
from ofa.task.task import Task, call_network

__all__ = [
    "Batch",
    "Detail",
    "Metric",
    "Outputs",
    "Replicates",
    "Score",
    "Task",
    "as_batch",
    "baseline_scores",
    "call_network",
    "classification",
    "details",
    "detection",
    "from_torchmetrics",
    "language_model",
    "multilabel",
    "own_loss",
    "paired_difference",
    "regression",
    "replicates",
    "scores",
    "segmentation",
    "sequence_classification",
]
