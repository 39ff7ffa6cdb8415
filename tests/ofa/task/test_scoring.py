"""scores: metrics in one pass, with their standard errors."""

from __future__ import annotations

import math

import pytest
import torch

import ofa
from ofa.task import Batch, Metric, Task, classification, scores
from ofa.task.scoring import baseline_scores


def net_and_batch(count: int = 200) -> tuple[torch.nn.Module, Batch]:
    generator = torch.Generator().manual_seed(0)
    net = torch.nn.Linear(4, 3)
    inputs = torch.randn(count, 4, generator=generator)
    return net, Batch(inputs, torch.randint(3, (count,), generator=generator))


def test_scores_do_not_depend_on_batches() -> None:
    net, batch = net_and_batch()
    task = classification(num_classes=3, metrics=("accuracy", "balanced_accuracy", "macro_f1"))
    whole = scores(net, [batch], task)
    parts = scores(net, [batch.rows(0, 70), batch.rows(70, 200)], task)
    for name in whole:
        assert whole[name].value == pytest.approx(parts[name].value, abs=1e-12)
        assert whole[name].examples == parts[name].examples == 200
    assert whole["accuracy"].value == ofa.evaluate(net, batch.inputs, batch.targets)


def test_bootstrap_agrees_with_the_binomial_error() -> None:
    net, batch = net_and_batch(2000)
    binomial = classification(num_classes=3).objective
    resampled = Metric(name="resampled", statistics=binomial.statistics, value=binomial.value)
    task = Task(name="both", loss=lambda outputs, batch: outputs.sum(), metrics=(binomial, resampled))
    scored = scores(net, [batch], task)
    assert scored["resampled"].standard_error == pytest.approx(scored["accuracy"].standard_error, rel=0.2)


def test_the_baseline_names_the_most_frequent_class() -> None:
    labels = torch.tensor([0, 1, 1, 1, 2])
    batch = Batch(torch.randn(5, 4), labels)
    task = classification(num_classes=3, metrics=("accuracy", "balanced_accuracy"))
    baseline = baseline_scores(task, [batch], [batch])
    assert baseline["accuracy"].value == pytest.approx(3 / 5)
    assert baseline["balanced_accuracy"].value == pytest.approx(1 / 3)


def test_bad_metrics_and_outputs_are_refused() -> None:
    net, batch = net_and_batch()
    task = classification(num_classes=3)
    with pytest.raises(ofa.InvalidInput, match="of 0 examples"):
        scores(net, [], task)
    with pytest.raises(ofa.InvalidInput, match="returns NaN"):
        scores(torch.nn.Sequential(net, torch.nn.LogSoftmax(1)), [Batch(batch.inputs * math.nan, batch.targets)], task)
    nothing = Metric(name="nothing", statistics=lambda outputs, batch: outputs, value=lambda sums: math.nan)
    bad = Task(name="bad", loss=lambda outputs, batch: outputs.sum(), metrics=(nothing,))
    with pytest.raises(ofa.InvalidInput, match="nothing of 200 examples is nan"):
        scores(net, [batch], bad)
