"""Task: what a network learns, as a handful of plain functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import call
from ofa.task.batch import Batch
from ofa.task.detail import Detail
from ofa.task.metric import Metric


def call_network(net: nn.Module, batch: Batch) -> Any:
    """Returns the network's outputs for a batch's inputs."""
    return call(net, batch.inputs)


def nothing_to_check(outputs: Any, batch: Batch) -> None:
    """Accepts any outputs."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a network learns and how it is judged.

    Outputs are whatever the network returns. Functions are top-level ones or `functools.partial` of them, so that two
    tasks of the same settings are recognized as the same.

    Attributes:
        name: for people and files, such as "segmentation".
        loss: (outputs, batch) -> scalar tensor, the mean over the batch's examples.
        metrics: the first is the objective of a search; at least one.
        distill: (outputs, teacher's outputs, batch) -> scalar tensor; None: the task knows no distillation.
        check: (outputs, batch) -> None; raises InvalidInput that names what does not fit, before the first step.
        checks_batches: whether `check` is cheap and called for each batch that is judged, so that targets that do not
            fit never give a figure.
        call: (network, batch) -> outputs; for networks that need more than the batch's inputs.
        constant: training batches -> the outputs that a network without inputs would give for one example, without a
            dimension of examples; its scores are the baseline. None: there is none.
        details: tables that reports show beside the scores, such as figures by class.
        predictions: (outputs, batch) -> what people read: probabilities, values in their unit, boxes. It is what
            torchmetrics' metrics are given beside the targets. None: the outputs themselves.
        terms: batch -> how many terms its loss is the mean of, such as its tokens: what it weighs where a batch is
            learned in parts. None: its examples.
        postprocessing: in words, how outputs become that, for people who deploy a network; empty where they are it.

    Raises:
        InvalidInput: no metric, or two of the same name.
    """

    name: str
    loss: Callable[[Any, Batch], Tensor]
    metrics: tuple[Metric, ...]
    distill: Callable[[Any, Any, Batch], Tensor] | None = None
    check: Callable[[Any, Batch], None] = nothing_to_check
    checks_batches: bool = False
    call: Callable[[nn.Module, Batch], Any] = call_network
    constant: Callable[[Iterable[Batch]], Any] | None = None
    details: tuple[Detail, ...] = ()
    predictions: Callable[[Any, Batch], Any] | None = None
    terms: Callable[[Batch], Tensor] | None = None
    postprocessing: str = ""

    def __post_init__(self) -> None:
        names = [metric.name for metric in self.metrics]
        if not names or len(set(names)) != len(names):
            raise InvalidInput(f"task {self.name!r} has the metrics {names}; it needs at least one, each name once")

    @property
    def objective(self) -> Metric:
        """The metric that networks are chosen by."""
        return self.metrics[0]
