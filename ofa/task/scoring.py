"""scores: the metrics of a network on batches, each with a standard error, in one pass and little memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import nn
from torch.utils._pytree import tree_map

from ofa.errors import InvalidInput, nearest
from ofa.inputs import output_tensors
from ofa.modes import in_mode
from ofa.task.batch import Batch, as_batch
from ofa.task.detail import Table
from ofa.task.failed_batch import forms, has_bad_numbers, named_batch
from ofa.task.gathering import Gathered, Sum, add_batch
from ofa.task.metric import Score
from ofa.task.task import Task

Outputs = Any  # what a network returns


def scores(
    net: nn.Module,
    batches: Iterable[Any],
    task: Task,
    *,
    standard_errors: bool | Literal["quick"] = True,
    names: Iterable[str] = (),
) -> dict[str, Score]:
    """Returns the score of each metric of `task`, by name, of `net` in eval mode; its mode is left as it was.

    Standard errors are binomial where a metric says so, otherwise of a bootstrap over examples: additive metrics with
    Poisson weights (Chamandy et al. 2012, Estimating uncertainty for massive data streams), others by drawing examples.

    Args:
        net: a network or a view.
        batches: see `ofa.task.as_batch`; moved to the network's device.
        task: says how the network is called and judged.
        standard_errors: whether they are computed, where that takes more than a closed form; "quick": where it takes no
            new computation of the metric for each draw.
        names: of the metrics that are computed; none for all.

    Raises:
        InvalidInput: no examples, an unknown name, outputs with NaN or infinity, or a metric that is not a number.
    """
    wanted, known = set(names), [metric.name for metric in task.metrics]
    if unknown := sorted(wanted - set(known)):
        raise InvalidInput(f"task {task.name} has no metric {unknown[0]!r}; {nearest(unknown[0], known)}")
    judged = [metric for metric in task.metrics if not wanted or metric.name in wanted]
    sums = [Sum(metric, metric.has_quick_error if standard_errors == "quick" else standard_errors) for metric in judged]
    examples, generator = 0, torch.Generator().manual_seed(0)
    for outputs, batch in answers(net, batches, task):
        add_batch(sums, outputs, batch, task, generator)
        examples += batch.examples
    if not examples:
        raise InvalidInput(f"{task.objective.title} of 0 examples: give at least one")
    return {each.metric.name: each.score(examples) for each in sums}


def details(net: nn.Module, batches: Iterable[Any], task: Task) -> dict[str, Table]:
    """Returns the tables of `task.details`, by name, of `net` in eval mode, in one pass over the batches.

    Raises:
        InvalidInput: no examples, or outputs with NaN or infinity.
    """
    gathered = [Gathered(detail) for detail in task.details]
    examples = 0
    for outputs, batch in answers(net, batches, task) if gathered else ():
        add_batch(gathered, outputs, batch, task)
        examples += batch.examples
    if gathered and not examples:
        raise InvalidInput(f"the {task.details[0].title} of 0 examples: give at least one")
    return {detail.name: detail.rows(each.all) for detail, each in zip(task.details, gathered, strict=True)}


def answers(net: nn.Module, batches: Iterable[Any], task: Task) -> Iterator[tuple[Outputs, Batch]]:
    """Yields the network's outputs of each batch, in eval mode, checked for NaN, and the batch on its device.

    Raises:
        InvalidInput: a batch without examples, one of another form than the first that the network fails on, or
            outputs with NaN or infinity.
    """
    device = next((tensor.device for tensor in net.parameters()), torch.device("cpu"))
    with in_mode(net, training=False), torch.no_grad():
        first: dict[str, str] | None = None
        for number, value in enumerate(batches, start=1):
            batch, where = as_batch(value).to(device), f"batch {number} of those that are judged"
            if not batch.examples:
                raise InvalidInput(f"{where} has 0 examples: leave empty ones out")
            with named_batch(batch, lambda: first, where):  # noqa: B023 (called within)
                outputs = task.call(net, batch)
            try:
                check_finite(outputs, type(net).__name__)
                if task.checks_batches:
                    task.check(outputs, batch)
            except InvalidInput as error:
                bad = f"the inputs of {where} have NaN or infinity: fix the data, or leave the batch out"
                raise InvalidInput(bad if has_bad_numbers(batch) else f"{where}: {error}") from error
            yield outputs, batch
            first = first or forms(batch)


def baseline_scores(task: Task, training: Iterable[Any], batches: Iterable[Any]) -> dict[str, Score]:
    """Returns the scores of what `task.constant` answers to every example; an empty dictionary if it has none."""
    if task.constant is None:
        return {}
    answer = task.constant(map(as_batch, training))
    sums, examples = [Sum(metric, errors=False) for metric in task.metrics], 0
    for value in batches:
        batch = as_batch(value).to("cpu")
        outputs = tree_map(lambda leaf: leaf.expand(batch.examples, *leaf.shape), answer)  # noqa: B023
        add_batch(sums, outputs, batch)
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


def values(scored: Mapping[str, Score]) -> dict[str, float]:
    """Returns the values of scores, by name."""
    return {name: score.value for name, score in scored.items()}
