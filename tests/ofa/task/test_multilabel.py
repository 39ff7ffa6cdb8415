"""multilabel: its loss, metrics and refusals."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from sklearn import metrics as oracle
from torch import nn

from ofa.errors import InvalidInput
from ofa.task import Batch, details, multilabel, scores
from ofa.task.average_precision import average_precisions

GENERATOR = torch.Generator().manual_seed(0)
TARGETS = (torch.rand(200, 5, generator=GENERATOR) < torch.tensor([0.5, 0.3, 0.2, 0.1, 0.05])).float()
LOGITS = 2 * TARGETS - 1 + torch.randn(200, 5, generator=GENERATOR)


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_metrics_are_those_of_scikit_learn(threshold: float) -> None:
    names = ("macro_f1", "micro_f1", "mean_average_precision", "exact_match", "hamming_loss", "binary_cross_entropy")
    task = multilabel(metrics=names, threshold=threshold)
    found = {name: score.value for name, score in scores(nn.Identity(), [Batch(LOGITS, TARGETS)], task).items()}
    named = (LOGITS.double().sigmoid() >= threshold).int()
    assert found["macro_f1"] == pytest.approx(oracle.f1_score(TARGETS, named, average="macro"))
    assert found["micro_f1"] == pytest.approx(oracle.f1_score(TARGETS, named, average="micro"))
    assert found["mean_average_precision"] == pytest.approx(oracle.average_precision_score(TARGETS, LOGITS))
    assert found["exact_match"] == pytest.approx(oracle.accuracy_score(TARGETS, named))
    assert found["hamming_loss"] == pytest.approx(oracle.hamming_loss(TARGETS, named))
    expected = nn.functional.binary_cross_entropy_with_logits(LOGITS.double(), TARGETS.double())
    assert found["binary_cross_entropy"] == pytest.approx(float(expected))


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_of_scores_with_ties(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tied = torch.randint(6, (40, 3), generator=generator).double()
    targets = torch.randint(2, (40, 3), generator=generator).bool()
    expected = oracle.average_precision_score(targets, tied, average=None)
    (once,) = average_precisions(tied, targets, torch.ones(1, 40))
    assert once.tolist() == pytest.approx(expected.tolist())
    times = torch.randint(3, (4, 40), generator=generator)
    for each, drawn in zip(times, average_precisions(tied, targets, times), strict=True):
        expected = oracle.average_precision_score(targets, tied, average=None, sample_weight=each)
        assert drawn.tolist() == pytest.approx(expected.tolist())


def test_labels_that_no_example_has_are_left_out_of_the_mean() -> None:
    targets = TARGETS.clone()
    targets[:, 4] = 0
    task = multilabel(metrics=["mean_average_precision"])
    found = scores(nn.Identity(), [Batch(LOGITS, targets)], task)["mean_average_precision"].value
    assert found == pytest.approx(oracle.average_precision_score(targets[:, :4], LOGITS[:, :4]))


def test_balanced_weights_are_negatives_for_each_positive() -> None:
    data = SimpleNamespace(num_classes=5, train=SimpleNamespace(targets=TARGETS))
    weights = (200 - TARGETS.sum(0)) / TARGETS.sum(0)
    expected = nn.functional.binary_cross_entropy_with_logits(LOGITS, TARGETS, pos_weight=weights)
    assert torch.allclose(multilabel(data, pos_weight="balanced").loss(LOGITS, Batch(LOGITS, TARGETS)), expected)


def test_bools_are_as_good_as_numbers() -> None:
    task = multilabel(num_labels=5)
    for targets in (TARGETS.bool(), TARGETS.long()):
        task.check(LOGITS, Batch(LOGITS, targets))
        assert torch.equal(task.loss(LOGITS, Batch(LOGITS, targets)), task.loss(LOGITS, Batch(LOGITS, TARGETS)))


def test_the_table_has_a_row_for_each_label() -> None:
    data = SimpleNamespace(train=SimpleNamespace(targets=TARGETS), target_names=tuple("vwxyz"))
    rows = details(nn.Identity(), [Batch(LOGITS, TARGETS)], multilabel(data))["labels"]
    assert [row["label"] for row in rows] == list("vwxyz")
    assert [row["count"] for row in rows] == TARGETS.sum(0).int().tolist()
    expected = oracle.precision_score(TARGETS, (LOGITS > 0).int(), average=None)
    assert [row["precision"] for row in rows] == pytest.approx(expected.tolist())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1}, "threshold=1 is a probability"),
        ({"pos_weight": [1.0]}, "pos_weight has 1 numbers for 5 labels"),
        ({"metrics": ["accuracy"]}, "task multilabel has no metric 'accuracy'"),
    ],
)
def test_bad_settings_are_refused(settings, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        multilabel(num_labels=5, **settings)
