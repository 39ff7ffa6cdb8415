"""Scores before a training: a metric that is no number is said before hours were spent on what it should judge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

import ofa
from ofa.data import BatchSource, Dataset, Split
from ofa.errors import InvalidInput
from ofa.task import Task, scores

EXAMPLES = 512
_BATCH = 64


def check_metrics(supernet: ofa.Supernet, data: Dataset, task: Task) -> None:
    """Checks that every metric of the smallest subnet, which has learned nothing, is a number on validation examples.

    Some of them decide, spread over the split; where those have no value, as of a class that does not occur among
    them, all do.

    Raises:
        InvalidInput: a metric that is not a finite number, or outputs that are not.
    """
    net = supernet.subnet(supernet.space.smallest)
    try:
        scores(net, _some(data.validation), task, standard_errors=False)
    except InvalidInput:
        scores(net, data.validation.in_order(_BATCH), task, standard_errors=False)


def _some(split: Split) -> Iterator[Any]:
    if isinstance(split.pixels, BatchSource):
        yield split.seen(split.pixels.some(EXAMPLES, 0))
        return
    rows = torch.linspace(0, len(split) - 1, min(EXAMPLES, len(split))).round().long()
    for part in torch.split(rows, _BATCH):
        yield split.take(part)
