"""What examples add to metrics and details, batch by batch, and to the same metrics of examples drawn anew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.task.batch import Batch
from ofa.task.detail import Detail
from ofa.task.metric import Metric, Score
from ofa.task.task import Task

_RESAMPLES = 200  # of additive metrics
_FEWER_RESAMPLES = 50  # of metrics that are computed anew for each
_BELOW = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)  # what bad targets meet in torch


def add_batch(
    sums: Sequence[Sum] | Sequence[Gathered],
    outputs: Any,
    batch: Batch,
    task: Task | None = None,
    generator: torch.Generator | None = None,
) -> None:
    """Adds a batch to each; statistics that several share are computed once.

    Args:
        sums: of metrics or details.
        outputs: of the network, for the batch.
        batch: with its targets.
        task: says what does not fit, where the statistics cannot be computed.
        generator: of the bootstrap.

    Raises:
        InvalidInput: the batch does not fit the task, or statistics of a wrong form.
    """
    known: dict[int, Any] = {}
    weights: Tensor | None = None
    for each in sums:
        function = each.metric.statistics
        if id(function) not in known:
            try:
                known[id(function)] = function(outputs, batch)
            except _BELOW:
                if task is not None:
                    task.check(outputs, batch)
                raise
        if isinstance(each, Gathered):
            each.add(known[id(function)], batch.examples)
            continue
        if weights is None and generator is not None and each.draws:
            # A row of weights an example: the numbers drawn do not depend on how examples are cut into batches.
            weights = torch.poisson(torch.ones(batch.examples, _RESAMPLES, dtype=torch.float64), generator)
        each.add(known[id(function)], batch.examples, weights)


class Gathered:
    """What the examples so far have added to a metric or a detail."""

    def __init__(self, metric: Metric | Detail) -> None:
        self.metric = metric
        self.total: Tensor | None = None
        self.parts: list[Any] = []

    def add(self, statistics: Any, examples: int) -> Tensor | None:
        """Adds those of a batch; returns the rows (N, K) of additive statistics, float64 on the CPU."""
        name = self.metric.name
        count = len(statistics[0] if isinstance(statistics, tuple) else statistics)
        if count != examples:
            raise InvalidInput(
                f"the statistics of {name} have {count} entries for {examples} examples; give one for each example"
            )
        if not self.metric.additive:
            self.parts.append(statistics)
            return None
        if not isinstance(statistics, Tensor) or statistics.dim() != 2:
            form = tuple(statistics.shape) if isinstance(statistics, Tensor) else f"a {type(statistics).__name__}"
            raise InvalidInput(
                f"the statistics of {name} are {form}; those of an additive metric are a tensor (N, K), "
                "a row for each example: set additive=False for a list"
            )
        rows: Tensor = statistics.detach().to("cpu", torch.float64)
        self.total = _plus(self.total, rows.sum(dim=0))
        return rows

    @property
    def all(self) -> Any:
        """What the metric's value is computed from."""
        if self.metric.additive:
            return self.total
        if isinstance(self.parts[0], tuple):
            return tuple(torch.cat(part) for part in zip(*self.parts, strict=True))
        return [entry for part in self.parts for entry in part]


class Sum:
    """What has been added to a metric so far, and to the same metric of examples drawn anew.

    Args:
        errors: whether examples are drawn anew, where a standard error takes that.
        always: also where a closed form gives it.
    """

    def __init__(self, metric: Metric, errors: bool, *, always: bool = False) -> None:
        self.metric = metric
        self.gathered = Gathered(metric)
        self.errors = errors and (always or metric.standard_error == "bootstrap")
        self.resampled: Tensor | None = None
        self._drawn: Tensor | None = None

    @property
    def draws(self) -> bool:
        """Whether weights of examples are drawn for it."""
        return self.errors and self.metric.additive

    def add(self, statistics: Any, examples: int, weights: Tensor | None) -> None:
        """Adds the statistics of a batch, and the same with each of the weights (N, resamples) of its examples."""
        rows = self.gathered.add(statistics, examples)
        if self.draws and rows is not None and weights is not None:
            self.resampled = _plus(self.resampled, weights.T @ rows)

    def score(self, examples: int) -> Score:
        """Returns the score of all that was added.

        Raises:
            InvalidInput: it is not a finite number.
        """
        gathered = self.gathered.all
        value = float(self.metric.value(gathered))
        if not math.isfinite(value):
            raise InvalidInput(
                f"{self.metric.name} of {examples} examples is {value}; a metric must be a finite number: check that "
                "every class or value it divides by occurs among the examples"
            )
        return Score(value, examples, self._error(value, examples))

    def _error(self, value: float, examples: int) -> float | None:
        if self.metric.standard_error == "binomial":
            return math.sqrt(max(value * (1 - value), 0.0) / examples)
        values = self.drawn(examples)
        if values is None:
            return None
        finite = values[torch.isfinite(values)]
        return float(finite.std()) if len(finite) > 1 else None

    def drawn(self, examples: int) -> Tensor | None:
        """Returns the values (R,), float64, of the metric of examples drawn anew; NaN where it is not defined.

        The draws are the same for networks that saw the same examples in the same order. None where none are made.
        """
        if not self.errors or examples < 2:
            return None
        if self._drawn is None:
            self._drawn = self._draw(examples)
        return self._drawn

    def _draw(self, examples: int) -> Tensor | None:
        if not self.metric.additive:
            generator = torch.Generator().manual_seed(0)
            gathered = self.gathered.all
            drawn = [torch.randint(examples, (examples,), generator=generator) for _ in range(_FEWER_RESAMPLES)]
            if self.metric.drawn is not None:
                return self.metric.drawn(gathered, torch.stack([rows.bincount(minlength=examples) for rows in drawn]))
            return torch.tensor([self._of(gathered, rows) for rows in drawn], dtype=torch.float64)
        return None if self.resampled is None else _of_each(self.metric, self.resampled).double()

    def _of(self, gathered: Any, rows: Tensor) -> float:
        """The metric of some examples; NaN where it is not defined for them, such as without a positive one."""
        if isinstance(gathered, tuple):
            entries: Any = tuple(part[rows] for part in gathered)
        else:
            entries = [gathered[row] for row in rows.tolist()]
        try:
            return float(self.metric.value(entries))
        except InvalidInput:
            return math.nan


def _of_each(metric: Metric, sums: Tensor) -> Tensor:
    """The values (S,) of sums (S, K): at once where the metric's value is written for it, otherwise one by one."""
    first = float(metric.value(sums[0]))
    try:
        values = metric.value(sums)
    except (IndexError, RuntimeError, TypeError, ValueError):
        values = None
    if isinstance(values, Tensor) and values.shape == sums.shape[:1]:
        alike = torch.isclose(values[0].double(), torch.tensor(first, dtype=torch.float64), equal_nan=True)
        if alike:
            return values
    return torch.tensor([float(metric.value(each)) for each in sums], dtype=torch.float64)


def _plus(total: Tensor | None, more: Tensor) -> Tensor:
    return more if total is None else total + more
