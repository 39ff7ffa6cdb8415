"""classification: its loss, metrics, tables and refusals."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from sklearn import metrics as oracle
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.task import Batch, classification, details, scores, sequence_classification

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(300, 4, generator=GENERATOR)
LABELS = torch.multinomial(torch.tensor([0.6, 0.25, 0.1, 0.05]), 300, replacement=True, generator=GENERATOR)
BATCH = Batch(LOGITS, LABELS)
ALL = ("accuracy", "balanced_accuracy", "macro_f1", "cross_entropy", "calibration_error")


def scored(batch: Batch = BATCH, **settings) -> dict[str, float]:
    return {name: score.value for name, score in scores(nn.Identity(), [batch], classification(**settings)).items()}


def test_metrics_are_those_of_scikit_learn() -> None:
    found = scored(metrics=ALL, num_classes=4)
    named = LOGITS.argmax(1)
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(LABELS, named))
    assert found["balanced_accuracy"] == pytest.approx(oracle.balanced_accuracy_score(LABELS, named))
    assert found["macro_f1"] == pytest.approx(oracle.f1_score(LABELS, named, average="macro"))
    assert found["cross_entropy"] == pytest.approx(oracle.log_loss(LABELS, LOGITS.double().softmax(1)))


@pytest.mark.parametrize("positive", [0, 3, "d"])
def test_measures_of_one_class(positive: int | str) -> None:
    data = SimpleNamespace(num_classes=4, class_names=("a", "b", "c", "d"))
    task = classification(data, metrics=("recall", "precision", "f1"), positive=positive)
    found = scores(nn.Identity(), [BATCH], task)
    label, named = (3 if positive == "d" else positive), LOGITS.argmax(1)
    assert found["recall"].value == pytest.approx(oracle.recall_score(LABELS == label, named == label))
    assert found["precision"].value == pytest.approx(oracle.precision_score(LABELS == label, named == label))
    assert found["f1"].value == pytest.approx(oracle.f1_score(LABELS == label, named == label))
    assert task.objective.title == f"recall of {'d' if label == 3 else 'a'}"


def test_a_class_that_is_never_named_has_no_precision() -> None:
    batch = Batch(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    assert scored(batch, metrics=["precision", "recall"], num_classes=2) == {"precision": 0.0, "recall": 0.0}


def test_top_five() -> None:
    logits = torch.arange(10.0).repeat(10, 1)
    assert scored(Batch(logits, torch.arange(10)), metrics=["top_5_accuracy"], num_classes=10) == {
        "top_5_accuracy": 0.5
    }
    with pytest.raises(InvalidInput, match="top_5_accuracy of 4 classes is always 100 %"):
        classification(metrics=["top_5_accuracy"], num_classes=4)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    logits = torch.zeros(100, 2)
    logits[:, 0] = torch.logit(torch.tensor(0.8))  # sure to 80 % of class 0, which is right for 50 of 100
    labels = torch.arange(100) % 2
    assert scored(Batch(logits, labels), metrics=["calibration_error"])["calibration_error"] == pytest.approx(0.3)


def test_balanced_weights_come_from_the_training_split() -> None:
    data = SimpleNamespace(num_classes=4, train=SimpleNamespace(targets=torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])))
    task = classification(data, class_weights="balanced")
    weights = torch.tensor([8 / 4 / 5, 8 / 4 / 2, 8 / 4 / 1, 8 / 4 / 1])
    expected = nn.functional.cross_entropy(LOGITS, LABELS, weights)
    assert torch.allclose(task.loss(LOGITS, BATCH), expected)
    with pytest.raises(InvalidInput, match="class_weights='balanced' needs the targets of a data set"):
        classification(num_classes=4, class_weights="balanced")


def test_the_table_has_a_row_for_each_class() -> None:
    data = SimpleNamespace(num_classes=4, class_names=("a", "b", "c", "d"))
    table = details(nn.Identity(), [BATCH.rows(0, 100), BATCH.rows(100, 300)], classification(data))["classes"]
    assert [row["class"] for row in table] == ["a", "b", "c", "d"]
    assert [row["count"] for row in table] == torch.bincount(LABELS).tolist()
    recalls = oracle.recall_score(LABELS, LOGITS.argmax(1), average=None)
    assert [row["recall"] for row in table] == pytest.approx(recalls.tolist())


def test_sequences_are_classified_from_objects_with_logits() -> None:
    class Reader(nn.Module):
        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
            return {"logits": LOGITS[input_ids[:, 0]] * attention_mask[:, :1], "hidden": input_ids}

    ids = torch.arange(300)[:, None].repeat(1, 5)
    loader = [{"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": LABELS}]
    task = sequence_classification(num_classes=4)
    assert task.name == "sequence_classification"
    assert scores(Reader(), loader, task)["accuracy"].value == scored(num_classes=4)["accuracy"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing=1.0 is a fraction"),
        ({"temperature": 0}, "temperature=0 must be a number above 0"),
        ({"class_weights": [1, 2]}, "class_weights has 2 numbers for 4 classes"),
        ({"class_weights": [1, 2, 3, -1]}, "class_weights has -1.0"),
        ({"class_weights": "even"}, "class_weights='even'; give 'balanced'"),
        ({"metrics": ["acuracy"]}, "no metric 'acuracy'; did you mean accuracy"),
        ({"metrics": []}, "has no metric"),
        ({"metrics": ["accuracy", "accuracy"]}, "'accuracy' twice"),
        ({"metrics": ["recall"]}, "recall of 4 classes: set positive"),
        ({"metrics": ["recall"], "positive": 4}, "positive=4 is no class"),
        ({"metrics": [3]}, "is a int; give one of its names"),
    ],
)
def test_bad_settings_are_refused(settings, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        classification(num_classes=4, **settings)


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        (LOGITS[:, :3], LABELS, r"returns \(300, 3\) torch.float32 .* needs logits \(300, 4\)"),
        (LOGITS, None, "targets are missing .* pairs"),
        (LOGITS, LABELS.int(), r"one class number for each example, \(300,\) torch.int64"),
        (LOGITS, LABELS.float(), "for numbers take task=regression"),
        (LOGITS, (LOGITS > 0).float(), "for several labels an example take task=multilabel"),
        (LOGITS, LABELS + 1, "run from 1 to 4; the network's 4 classes are numbered 0 to 3: give .*num_classes=5"),
        (LOGITS, LABELS - 1, "run from -1"),
    ],
)
def test_what_does_not_fit_is_named(outputs: Tensor, targets: Tensor | None, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        classification(num_classes=4).check(outputs, Batch(LOGITS, targets))
