"""scores: the metrics of a network on batches, each with a standard error, in one pass and little memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ofa.errors import InvalidInput, nearest
from ofa.inputs import output_tensors
from ofa.modes import in_mode
from ofa.task.batch import Batch, as_batch
from ofa.task.detail import Detail, Table
from ofa.task.metric import Metric, Score
from ofa.task.task import Task

Outputs = Any  # what a network returns
_RESAMPLES = 200  # of additive metrics
_FEWER_RESAMPLES = 50  # of metrics that are computed anew for each


def scores(
    net: nn.Module, batches: Iterable[Any], task: Task, *, standard_errors: bool = True, names: Iterable[str] = ()
) -> dict[str, Score]:
    """Returns the score of each metric of `task`, by name, of `net` in eval mode; its mode is left as it was.

    Standard errors are binomial where a metric says so, otherwise of a bootstrap over examples: additive metrics with
    Poisson weights (Chamandy et al. 2012, Estimating uncertainty for massive data streams), others by drawing examples.

    Args:
        net: a network or a view.
        batches: see `ofa.task.as_batch`; moved to the network's device.
        task: says how the network is called and judged.
        standard_errors: whether they are computed, where that takes more than a closed form.
        names: of the metrics that are computed; none for all.

    Raises:
        InvalidInput: no examples, an unknown name, outputs with NaN or infinity, or a metric that is not a number.
    """
    wanted, known = set(names), [metric.name for metric in task.metrics]
    if unknown := sorted(wanted - set(known)):
        raise InvalidInput(f"task {task.name} has no metric {unknown[0]!r}; {nearest(unknown[0], known)}")
    sums = [_Sum(metric, standard_errors) for metric in task.metrics if not wanted or metric.name in wanted]
    examples = 0
    for outputs, batch in _answers(net, batches, task):
        _add(sums, outputs, batch)
        examples += batch.examples
    if not examples:
        raise InvalidInput(f"{task.objective.title} of 0 examples: give at least one")
    return {each.metric.name: each.score(examples) for each in sums}


def details(net: nn.Module, batches: Iterable[Any], task: Task) -> dict[str, Table]:
    """Returns the tables of `task.details`, by name, of `net` in eval mode, in one pass over the batches.

    Raises:
        InvalidInput: no examples, or outputs with NaN or infinity.
    """
    gathered = [_Gathered(detail) for detail in task.details]
    examples = 0
    for outputs, batch in _answers(net, batches, task) if gathered else ():
        _add(gathered, outputs, batch)
        examples += batch.examples
    if gathered and not examples:
        raise InvalidInput(f"the {task.details[0].title} of 0 examples: give at least one")
    return {detail.name: detail.rows(each.all) for detail, each in zip(task.details, gathered, strict=True)}


def _answers(net: nn.Module, batches: Iterable[Any], task: Task) -> Iterator[tuple[Outputs, Batch]]:
    """The network's outputs of each batch, in eval mode, checked for NaN; the batch on its device."""
    device = next((tensor.device for tensor in net.parameters()), torch.device("cpu"))
    with in_mode(net, training=False), torch.no_grad():
        for value in batches:
            batch = as_batch(value).to(device)
            outputs = task.call(net, batch)
            check_finite(outputs, type(net).__name__)
            yield outputs, batch


def baseline_scores(task: Task, training: Iterable[Any], batches: Iterable[Any]) -> dict[str, Score]:
    """Returns the scores of what `task.constant` answers to every example; an empty dictionary if it has none."""
    if task.constant is None:
        return {}
    answer = task.constant(map(as_batch, training))
    sums, examples = [_Sum(metric, errors=False) for metric in task.metrics], 0
    for value in batches:
        batch = as_batch(value).to("cpu")
        outputs = tree_map(lambda leaf: leaf.expand(batch.examples, *leaf.shape), answer)  # noqa: B023
        _add(sums, outputs, batch)
        examples += batch.examples
    if not examples:
        raise InvalidInput(f"{task.objective.title} of 0 examples: give at least one")
    return {each.metric.name: each.score(examples) for each in sums}


def check_finite(outputs: Outputs, name: str) -> None:
    """Checks that outputs are numbers: what compares or sorts would take NaN for an answer.

    Raises:
        InvalidInput: NaN or infinity among them.
    """
    for tensor in output_tensors(outputs):
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            bad = "NaN" if torch.isnan(tensor).any() else "infinity"
            raise InvalidInput(f"{name} returns {bad}; check its layers, the learning rate and the data")


def _add(sums: Sequence[_Sum] | Sequence[_Gathered], outputs: Outputs, batch: Batch) -> None:
    """Adds a batch to each; statistics that several metrics share are computed once."""
    known: dict[int, Any] = {}
    for each in sums:
        function = each.metric.statistics
        if id(function) not in known:
            known[id(function)] = function(outputs, batch)
        each.add(known[id(function)], batch.examples)


@dataclass
class _Gathered:
    """What the examples so far have added to a metric or a detail."""

    metric: Metric | Detail
    total: Any = None
    entries: list[Any] = field(default_factory=list)

    def add(self, statistics: Any, examples: int) -> Tensor | None:
        """Adds those of a batch; returns the rows (N, K) of additive statistics, float64 on the CPU."""
        if len(statistics) != examples:
            raise InvalidInput(
                f"the statistics of {self.metric.name} have {len(statistics)} entries for {examples} examples; "
                "give one for each example"
            )
        if not self.metric.additive:
            self.entries += statistics
            return None
        if not isinstance(statistics, Tensor) or statistics.dim() != 2:
            form = tuple(statistics.shape) if isinstance(statistics, Tensor) else f"a {type(statistics).__name__}"
            raise InvalidInput(
                f"the statistics of {self.metric.name} are {form}; those of an additive metric are a tensor (N, K), "
                "a row for each example: set additive=False for a list"
            )
        rows: Tensor = statistics.detach().to("cpu", torch.float64)
        self.total = _plus(self.total, rows.sum(dim=0))
        return rows

    @property
    def all(self) -> Any:
        """What the metric's value is computed from."""
        return self.total if self.metric.additive else self.entries


class _Sum:
    """What has been added to a metric so far, and to the same metric of examples drawn anew."""

    def __init__(self, metric: Metric, errors: bool) -> None:
        self.metric = metric
        self.gathered = _Gathered(metric)
        self.errors = errors and metric.standard_error == "bootstrap"
        self.resampled: Any = None
        self.generator = torch.Generator().manual_seed(0)

    def add(self, statistics: Any, examples: int) -> None:
        rows = self.gathered.add(statistics, examples)
        if self.errors and rows is not None:
            # A row of weights an example: the numbers drawn do not depend on how examples are cut into batches.
            weights = torch.poisson(torch.ones(len(rows), _RESAMPLES, dtype=torch.float64), self.generator)
            self.resampled = _plus(self.resampled, weights.T @ rows)

    def score(self, examples: int) -> Score:
        value = float(self.metric.value(self.gathered.all))
        if not math.isfinite(value):
            raise InvalidInput(
                f"{self.metric.name} of {examples} examples is {value}; a metric must be a finite number: check that "
                "every class or value it divides by occurs among the examples"
            )
        return Score(value, examples, self._error(value, examples))

    def _error(self, value: float, examples: int) -> float | None:
        if self.metric.standard_error == "binomial":
            return math.sqrt(max(value * (1 - value), 0.0) / examples)
        if not self.errors or examples < 2:
            return None
        if self.metric.additive:
            values = _of_each(self.metric, self.resampled)
        else:
            values = torch.tensor([self._drawn() for _ in range(_FEWER_RESAMPLES)], dtype=torch.float64)
        finite = values[torch.isfinite(values)]
        return float(finite.std()) if len(finite) > 1 else None

    def _drawn(self) -> float:
        entries = self.gathered.entries
        rows = torch.randint(len(entries), (len(entries),), generator=self.generator).tolist()
        try:
            return float(self.metric.value([entries[row] for row in rows]))
        except InvalidInput:  # not defined for these, such as without a positive example
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


def values(scored: Mapping[str, Score]) -> dict[str, float]:
    """Returns the values of scores, by name."""
    return {name: score.value for name, score in scored.items()}
