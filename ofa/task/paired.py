"""Differences of two networks on the same examples: example by example, so that what is hard for both cancels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.task.gathering import Sum, add_batch
from ofa.task.metric import Score
from ofa.task.scoring import answers
from ofa.task.task import Task


@dataclass(frozen=True, eq=False)
class Replicates:
    """The scores of a network, and its objective on the examples drawn anew.

    Attributes:
        scores: by metric, as `ofa.task.scores` returns them.
        objective: the name of the metric that is drawn.
        drawn: (R,) float64: its values of R draws, NaN where it is not defined for one; None where there are none. Draw
            r has the same examples for every network that saw the same ones in the same order.
    """

    scores: Mapping[str, Score]
    objective: str
    drawn: Tensor | None

    @property
    def score(self) -> Score:
        """That of the objective."""
        return self.scores[self.objective]


def replicates(net: nn.Module, batches: Iterable[Any], task: Task) -> Replicates:
    """Returns the scores of `net`, in eval mode, on batches in one pass, with what a paired difference takes.

    Args:
        batches: see `ofa.task.as_batch`.
        task: says how the network is called and judged.

    Raises:
        InvalidInput: no examples, outputs with NaN or infinity, or a metric that is not a number.
    """
    objective = task.objective.name
    sums = [Sum(metric, errors=True, always=metric.name == objective) for metric in task.metrics]
    examples, generator = 0, torch.Generator().manual_seed(0)
    for outputs, batch in answers(net, batches, task):
        add_batch(sums, outputs, batch, task, generator)
        examples += batch.examples
    if not examples:
        raise InvalidInput(f"{task.objective.title} of 0 examples: give at least one")
    by_name = {each.metric.name: each.score(examples) for each in sums}
    (drawn,) = (each.drawn(examples) for each in sums if each.metric.name == objective)
    return Replicates(by_name, objective, drawn)


def paired_difference(first: Replicates, second: Replicates) -> Score:
    """Returns the objective of `first` less that of `second`, with the standard error of the difference.

    It is the standard deviation of the difference over draws of the same examples for both (the paired bootstrap: Efron
    and Tibshirani 1993, An introduction to the bootstrap): smaller than of different examples where both networks find
    the same ones hard. None where too few draws have a value.

    Raises:
        InvalidInput: they are of different numbers of examples.
    """
    score, other = first.score, second.score
    if score.examples != other.examples:
        raise InvalidInput(
            f"scores on {score.examples} and on {other.examples} examples: a paired difference is on the same ones"
        )
    error = None
    if first.drawn is not None and second.drawn is not None:
        apart = first.drawn - second.drawn
        apart = apart[torch.isfinite(apart)]
        error = float(apart.std()) if len(apart) > 1 else None
    return Score(score.value - other.value, score.examples, error)
