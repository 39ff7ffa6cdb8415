"""Rows of the list of extracted subnets: of each from its card, and of the largest, which is judged for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

import ofa
from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.task import Task
from search.candidates.search_files import Finalists, SubnetRow
from search.device.devices import PEAK
from search.run.cards import SubnetCard
from search.run.scores import MetricFacts, ordered
from search.training.judging import Judged, judged, scores_of
from search.training.trained import Trained


@dataclass(frozen=True)
class Largest:
    """The largest subnet, judged by the metric of a search: what others are compared with on the same examples."""

    arch: Arch
    outcome: Judged


def judged_largest(trained: Trained, finalists: Finalists, calibration: Tensor) -> Largest:
    """Returns the largest subnet of a search, judged on both splits; its norm statistics come from `calibration`."""
    arch = finalists.largest.arch
    return Largest(arch, judged_subnet(trained, arch, calibration, finalists.metrics))


def judged_subnet(trained: Trained, arch: Arch, calibration: Tensor, metrics: Sequence[MetricFacts]) -> Judged:
    """Returns what is known of a subnet with the supernet's weights by the first of `metrics`."""
    view = ofa.calibrate(trained.supernet.subnet(arch), ofa.resized(calibration, arch))
    return judged(view, ofa.resized(trained.data, arch), judged_by(trained.task, metrics))


def judged_by(task: Task, metrics: Sequence[MetricFacts]) -> Task:
    """Returns the task with the metrics in the order of `metrics`, of which a search has its own first."""
    order = {metric.name: position for position, metric in enumerate(metrics)}
    return replace(task, metrics=tuple(sorted(task.metrics, key=lambda metric: order[metric.name])))


def largest_row(trained: Trained, finalists: Finalists, judged: Largest) -> SubnetRow:
    """Returns the row of the largest subnet, which is a baseline and gets no folder."""
    largest = finalists.largest
    costs = {key: int(values[0]) for key, values in ofa.cost(trained.supernet, [largest.arch]).items()}
    return SubnetRow(
        largest=True,
        folder=None,
        device=finalists.device,
        limit_ms=None,
        limits=None,
        predicted_ms=largest.predicted_ms,
        measured_ms=largest.measured_ms,
        predicted=largest.predicted,
        measured=largest.measured,
        scores=ordered(scores_of(judged.outcome), finalists.metrics),
        macs=costs["macs"],
        params=costs["params"],
        bytes=costs["bytes"],
        margin=None,
        onnx=None,
        peak_activation_bytes=peak_of(largest.figures),
        arch=largest.arch,
    )


def peak_of(figures: Mapping[str, float]) -> int | None:
    """Returns the bytes of activations among figures; None where they were not asked for."""
    return int(figures[PEAK]) if PEAK in figures else None


def row_of(card: SubnetCard, folder: Path) -> SubnetRow:
    """Returns the row of a subnet from its card.

    Args:
        folder: relative to the run's folder, which can be moved.

    Raises:
        InvalidInput: the card has no device or no scores.
    """
    if card.device is None or card.scores is None:
        raise InvalidInput(f"the card of {folder} names no {'device' if card.device is None else 'scores'}")
    return SubnetRow(
        largest=False,
        folder=folder.as_posix(),
        device=card.device,
        limit_ms=card.limit_ms,
        limits=card.limits,
        predicted_ms=card.predicted_ms,
        measured_ms=card.measured_ms,
        predicted=card.predicted,
        measured=card.measured,
        scores=card.scores,
        macs=card.macs,
        params=card.params,
        bytes=card.bytes,
        margin=card.margin,
        onnx=card.onnx,
        peak_activation_bytes=card.peak_activation_bytes,
        raw=card.raw,
        gain=card.gain,
        from_largest=card.from_largest,
        quantized=card.quantized,
        bytes_on_disk=card.bytes_on_disk,
    )
