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
    torch.manual_seed(0)
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


def test_a_batch_without_examples_or_of_another_form_is_named_by_its_number() -> None:
    net, batch = net_and_batch()
    task = classification(num_classes=3)
    with pytest.raises(ofa.InvalidInput, match="batch 2 of those that are judged has 0 examples"):
        scores(net, [batch, batch.rows(0, 0), batch], task)
    wider = Batch(torch.randn(5, 7), batch.targets[:5])
    with pytest.raises(ofa.InvalidInput, match=r"inputs of batch 2 of .* are \(N, 7\) torch.float32, and were"):
        scores(net, [batch, wider], task)
    with pytest.raises(RuntimeError):  # nothing to compare the first with: the network may be wrong
        scores(net, [wider], task)
    with pytest.raises(ofa.InvalidInput, match="batch 2 has 0 images"):
        ofa.evaluate(net, [(batch.inputs, batch.targets), (batch.inputs[:0], batch.targets[:0])])


def test_bad_metrics_and_outputs_are_refused() -> None:
    net, batch = net_and_batch()
    task = classification(num_classes=3)
    with pytest.raises(ofa.InvalidInput, match="of 0 examples"):
        scores(net, [], task)
    broken = torch.nn.Linear(4, 3)
    broken.weight.data.fill_(math.nan)
    with pytest.raises(ofa.InvalidInput, match="batch 1 of those that are judged: Linear returns NaN"):
        scores(broken, [batch], task)
    with pytest.raises(ofa.InvalidInput, match="the inputs of batch 2 of those that are judged have NaN or infinity"):
        scores(net, [batch, Batch(batch.inputs * math.nan, batch.targets)], task)
    nothing = Metric(name="nothing", statistics=lambda outputs, batch: outputs, value=lambda sums: math.nan)
    bad = Task(name="bad", loss=lambda outputs, batch: outputs.sum(), metrics=(nothing,))
    with pytest.raises(ofa.InvalidInput, match="nothing of 200 examples is nan"):
        scores(net, [batch], bad)


def right_of(outputs: torch.Tensor, batch: Batch) -> torch.Tensor:
    right = outputs.argmax(1) == batch.targets
    return torch.stack([right, torch.ones_like(right)], dim=1)


def judged_by(value, statistics=right_of, **settings) -> Task:
    metric = Metric(name="share", statistics=statistics, value=value, **settings)
    return Task(name="own", loss=lambda outputs, batch: outputs.sum(), metrics=(metric,))


def test_a_value_of_one_row_of_sums_has_the_same_standard_error() -> None:
    net, batch = net_and_batch()
    expected = scores(net, [batch], judged_by(lambda sums: sums[..., 0] / sums[..., 1]))["share"]
    for value in (
        lambda sums: sums[0] / sums[1],
        lambda sums: float(sums[0]) / float(sums[1]),
        lambda sums: sums.tolist()[0] / sums.tolist()[1],
    ):
        found = scores(net, [batch], judged_by(value))["share"]
        assert found.value == expected.value
        assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-12)


def test_draws_of_examples_that_have_no_value_are_left_out() -> None:
    net, batch = net_and_batch(30)

    def mean(entries: list[float]) -> float:
        if 0 not in entries:
            raise ofa.InvalidInput("the first example is missing")
        return sum(entries) / len(entries)

    task = judged_by(mean, lambda outputs, batch: list(range(len(outputs))), additive=False)
    score = scores(net, [batch], task)["share"]
    assert score.value == 14.5 and 0.8 < score.standard_error < 2.4


def test_quick_standard_errors_compute_no_metric_anew() -> None:
    net, batch = net_and_batch(30)
    calls = []

    def mean(entries: list[float]) -> float:
        calls.append(len(entries))
        return sum(entries) / len(entries)

    def means(entries: list[float], times: torch.Tensor) -> torch.Tensor:
        return times.double() @ torch.tensor(entries, dtype=torch.float64) / times.sum(dim=1)

    listed = judged_by(mean, lambda outputs, batch: list(range(len(outputs))), additive=False)
    assert scores(net, [batch], listed, standard_errors="quick")["share"].standard_error is None
    slow = scores(net, [batch], listed)["share"].standard_error
    calls.clear()
    quick = judged_by(mean, listed.objective.statistics, additive=False, drawn=means)
    found = scores(net, [batch], quick, standard_errors="quick")["share"]
    assert found.standard_error == pytest.approx(slow) and calls == [30]


def test_statistics_of_a_wrong_form_are_refused() -> None:
    net, batch = net_and_batch()
    for statistics, message in (
        (lambda outputs, batch: outputs.argmax(1), r"statistics of share are \(200,\); .* a tensor \(N, K\)"),
        (lambda outputs, batch: outputs.tolist(), "are a list; .* set additive=False"),
        (lambda outputs, batch: outputs[:5], "have 5 entries for 200 examples"),
    ):
        with pytest.raises(ofa.InvalidInput, match=message):
            scores(net, [batch], judged_by(lambda sums: sums[0], statistics))


def test_statistics_that_metrics_share_are_computed_once() -> None:
    net, batch = net_and_batch()
    calls = []

    def counted(outputs: torch.Tensor, batch: Batch) -> torch.Tensor:
        calls.append(len(outputs))
        return right_of(outputs, batch)

    first = judged_by(lambda sums: sums[0] / sums[1], counted).objective
    second = Metric(name="right", statistics=counted, value=lambda sums: sums[0])
    task = Task(name="both", loss=lambda outputs, batch: outputs.sum(), metrics=(first, second))
    right, share = scores(net, [batch], task)["right"].value, scores(net, [batch], task, names=["share"])["share"].value
    assert right / 200 == share  # 200 * share may round
    assert calls == [200, 200]
    with pytest.raises(ofa.InvalidInput, match="task both has no metric 'shar'; did you mean share"):
        scores(net, [batch], task, names=["shar"])


def test_targets_that_do_not_fit_are_named_in_any_batch() -> None:
    net, batch = net_and_batch()
    task = classification(num_classes=3, metrics=["balanced_accuracy"])
    with pytest.raises(ofa.InvalidInput, match="the targets are missing"):
        scores(net, [batch, Batch(batch.inputs)], task)
    with pytest.raises(ofa.InvalidInput, match="run from 5 to 7"):
        scores(net, [batch, Batch(batch.inputs, batch.targets + 5)], task)


def test_kept_tensors_are_those_of_a_list() -> None:
    net, batch = net_and_batch()

    def median(entries) -> float:
        values = entries[0] if isinstance(entries, tuple) else torch.stack([entry[0] for entry in entries])
        return float(values.median())

    rows, lists = (
        scores(net, [batch.rows(0, 70), batch.rows(70, 200)], judged_by(median, statistics, additive=False))["share"]
        for statistics in (
            lambda outputs, batch: (outputs[:, 0], batch.targets),
            lambda outputs, batch: list(zip(outputs[:, 0], batch.targets, strict=True)),
        )
    )
    assert rows == lists and rows.standard_error > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda labels: labels.masked_fill(labels == 1, 7), "the labels run from 0 to 7"),
        (lambda labels: labels - 1, "the labels run from -1 to 1"),
        (lambda labels: labels.float(), "torch.float32; classification needs one class number for each example"),
    ],
)
def test_targets_of_a_later_batch_that_do_not_fit_give_no_figure(wrong, message) -> None:
    net, batch = net_and_batch()
    task = classification(num_classes=3)
    later = Batch(batch.inputs, wrong(batch.targets))
    with pytest.raises(ofa.InvalidInput, match=message):
        scores(net, [batch, later], task)
