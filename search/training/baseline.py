"""Scores without learning: the baseline, a task's answer without a look at the inputs, and an untrained network's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from ofa.data import BatchSource, Dataset, Split
from ofa.data.batch_source import one_line
from ofa.data.map_style import MapStyle
from ofa.errors import InvalidInput
from ofa.task import Batch, Score, Task, as_batch, scores
from ofa.task.failed_batch import BATCH_ERRORS, failed_batch, forms
from ofa.task.scoring import baseline_scores
from ofa.train.callbacks import first_third
from search.run.progress import say
from search.run.scores import NOISE, MetricFacts, Scores, Values, facts_of
from search.run.training_cards import TrainingStep
from search.training.judging import in_split

MOST_BATCHES = 64  # of a training split whose targets are not a tensor in memory
ROWS = 4096  # targets at a time
EXAMPLES = 512  # that the metrics of a network that has learned nothing are tried on
_BATCH = 64


def baseline_of(task: Task, data: Dataset) -> Scores | None:
    """Returns the scores of the best constant answer to the training targets; None: the task has no such answer.

    Nor is there one where a metric of the user's own takes what their networks return alone; a line says so.
    """
    try:
        by_split = [_constant_scores(task, data, split) for split in (data.validation, data.test)]
    except InvalidInput:
        raise
    except BATCH_ERRORS as error:
        say(f"no baseline: a metric of task {task.name} cannot be computed of a constant answer ({one_line(error)})")
        return None
    return Scores(validation=by_split[0], test=by_split[1]) if all(by_split) else None


def validation_baseline(task: Task, data: Dataset) -> Values | None:
    """Returns the scores on validation of the best constant answer; None: the task has no such answer."""
    try:
        return _constant_scores(task, data, data.validation) or None
    except InvalidInput:
        raise
    except BATCH_ERRORS:
        return None


def _constant_scores(task: Task, data: Dataset, split: Split) -> Values:
    return baseline_scores(task, _targets(data.train, MOST_BATCHES), _targets(split))


def no_better(name: str, metric: MetricFacts, scores: Values, baseline: Values | None) -> list[str]:
    """Returns a line where a network is no better than the baseline; up to two standard errors above it can be luck.

    Args:
        name: of the network, for the line.
        metric: the objective.
        scores: of the network.
        baseline: on the same examples; None: there is none.
    """
    if baseline is None:
        return []
    reached, constant = scores[metric.name], baseline[metric.name]
    spread = constant.standard_error or reached.standard_error or 0.0
    if metric.quality(reached.value) > metric.quality(constant.value) + NOISE * spread:
        return []
    near = metric.quality(reached.value) > metric.quality(constant.value)
    verdict = "within two standard errors of" if near else "no better than"
    return [
        f"{name} is {verdict} the baseline: {metric.named_text(reached.value)} on {reached.examples:,} "
        f"examples, a constant answer gets {metric.text(constant.value)}"
    ]


def early_warnings(step: TrainingStep, names: Mapping[str, str], task: Task, data: Dataset) -> list[str]:
    """Returns the warnings due after the first third of a training's epochs; an empty list at any other step.

    Args:
        step: one step of a training.
        names: what was measured, by its key among the scores, such as {"network": "the network"}.
        task: what is learned.
        data: whose validation split was measured on.
    """
    epoch, epochs = step.epoch, step.epochs
    if epoch != first_third(epochs) or epochs == epoch or not step.scores:
        return []
    baseline, metric = validation_baseline(task, data), facts_of(task.objective)
    reached = {name: step.value(key, metric.name) for key, name in names.items()}
    lines = [
        line
        for name, value in reached.items()
        if value is not None
        for line in no_better(name, metric, {metric.name: Score(value, len(data.validation))}, baseline)
    ]
    when = f"after {epoch} of {epochs} epochs: lower the learning rate (now {step.learning_rate:.3g}), or check"
    return [f"{line}, {when} data and targets" for line in lines]


def _targets(split: Any, most: int | None = None) -> Iterator[Any]:
    """Batches of a split, without its inputs where its targets are a tensor; else at most so many."""
    targets = getattr(split, "targets", None)
    if not isinstance(targets, Tensor):
        yield from islice(split.in_order(), most)
        return
    for rows in torch.split(targets, ROWS):
        yield Batch(torch.zeros(len(rows), 0), rows)


def check_metrics(net: nn.Module, data: Dataset, task: Task) -> None:
    """Checks that every metric of a network that has learned nothing yet is a number on what nothing is trained on.

    Some examples of each split decide, spread over it; where those have no value, as of a class that does not occur
    among them, all do.

    Raises:
        InvalidInput: a metric that is not a finite number, outputs that are not, or examples of another form than those
            of the training.
    """
    for part in ("validation", "test"):
        split: Split = getattr(data, part)
        try:
            scores(net, _some(split), task, standard_errors=False)
        except InvalidInput:
            _check_all(net, split, task, part)
        except BATCH_ERRORS as error:
            trained_on, first = (as_batch(next(iter(each.in_order(1)))) for each in (data.train, split))
            failure = failed_batch(error, first, forms(trained_on), f"the {part} split")
            if failure is None:
                error.add_note(f"while the {part} split was judged, before the training")
                raise
            raise failure from error


def _check_all(net: nn.Module, split: Split, task: Task, part: str) -> None:
    with in_split(part):
        scores(net, split.in_order(_BATCH), task, standard_errors=False)


def _some(split: Split) -> Iterator[Any]:
    """Batches of some examples with their targets; the first ones where examples come one after the other."""
    if isinstance(split.pixels, BatchSource) and not isinstance(split.pixels, MapStyle):
        left = EXAMPLES
        for batch in split.in_order(_BATCH):
            yield batch
            left -= as_batch(batch).examples
            if left <= 0:
                return
        return
    rows = torch.linspace(0, len(split) - 1, min(EXAMPLES, len(split))).round().long()
    for part in torch.split(rows, _BATCH):
        yield split.take(part)
