"""from_torchmetrics: metrics of the library in any task, and the library as an oracle for our own."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ofa.errors import InvalidInput
from ofa.identity import as_json
from ofa.task import (
    Batch,
    classification,
    detection,
    from_torchmetrics,
    language_model,
    multilabel,
    regression,
    scores,
    segmentation,
)
from ofa.task.metric import Metric
from search.objects import make_partial

torchmetrics = pytest.importorskip("torchmetrics")

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(90, 4, generator=GENERATOR)
LABELS = torch.arange(90) % 4
BATCH = Batch(LOGITS, LABELS)


def value(task, outputs=LOGITS, batch: Batch = BATCH) -> float:
    known = SimpleNamespace(outputs=outputs)

    class Known(nn.Module):
        def forward(self, inputs):
            return known.outputs

    return scores(Known(), [batch], task)[task.objective.name].value


def test_a_metric_is_given_probabilities_and_says_its_direction() -> None:
    kind = torchmetrics.classification.MulticlassAUROC
    for metric in (kind(num_classes=4), partial(kind, num_classes=4)):
        task = classification(num_classes=4, metrics=[metric, "accuracy"])
        assert task.objective.name == "multiclass_auroc" and task.objective.maximize
        assert value(task) == pytest.approx(float(kind(num_classes=4)(LOGITS.softmax(1), LABELS)))
    assert not from_torchmetrics(torchmetrics.MeanSquaredError()).maximize


def test_batches_and_standard_errors() -> None:
    task = classification(num_classes=4, metrics=[torchmetrics.classification.MulticlassF1Score(num_classes=4)])
    ours = classification(num_classes=4, metrics=["macro_f1"])
    parts = [BATCH.rows(0, 50), BATCH.rows(50, 90)]
    theirs, own = (scores(nn.Identity(), parts, each) for each in (task, ours))
    assert theirs["multiclass_f1_score"].value == pytest.approx(own["macro_f1"].value, rel=1e-5)
    assert theirs["multiclass_f1_score"].standard_error == pytest.approx(own["macro_f1"].standard_error, rel=0.4)


def test_configs_name_classes_of_torchmetrics() -> None:
    config = {
        "_target_": "ofa.task.classification",
        "_partial_": True,
        "metrics": [
            {"_target_": "torchmetrics.classification.MulticlassMatthewsCorrCoef", "num_classes": 4},
            {
                "_target_": "ofa.task.from_torchmetrics",
                "metric": {"_target_": "torchmetrics.classification.MulticlassCalibrationError", "num_classes": 4},
                "unit": "%",
                "label": "calibration",
            },
            "accuracy",
        ],
    }
    task = make_partial("task", config)(SimpleNamespace(num_classes=4))
    assert [metric.name for metric in task.metrics] == [
        "multiclass_matthews_corr_coef",
        "multiclass_calibration_error",
        "accuracy",
    ]
    found = scores(nn.Identity(), [BATCH], task)
    expected = torchmetrics.functional.classification.multiclass_calibration_error(LOGITS.softmax(1), LABELS, 4)
    assert found["multiclass_calibration_error"].value == pytest.approx(float(expected), rel=1e-5)
    assert task.metrics[1].unit == "%" and task.metrics[1].title == "calibration"


def test_tasks_of_the_same_metrics_are_the_same() -> None:
    def record(**settings) -> dict:
        metric = torchmetrics.classification.MulticlassAccuracy(num_classes=4, **settings)
        task = classification(num_classes=4, metrics=[metric])
        value(task)
        return as_json({"task": task})

    assert record() == record()
    assert record(average="micro") != record(average="macro")


def test_our_calibration_error_is_theirs() -> None:
    metric = torchmetrics.classification.MulticlassCalibrationError(num_classes=4, n_bins=15)
    theirs = value(classification(num_classes=4, metrics=[metric]))
    assert value(classification(num_classes=4, metrics=["calibration_error"])) == pytest.approx(theirs, rel=1e-5)


def test_each_task_gives_what_people_read() -> None:
    targets = torch.randint(2, (90, 4), generator=GENERATOR)
    metric = torchmetrics.classification.MultilabelAveragePrecision(num_labels=4)
    batch = Batch(LOGITS, targets)
    ours = value(multilabel(metrics=["mean_average_precision"]), batch=batch)
    assert value(multilabel(metrics=[metric]), batch=batch) == pytest.approx(ours, rel=1e-5)

    numbers = 50 + 10 * torch.randn(90, generator=GENERATOR)
    data = SimpleNamespace(train=SimpleNamespace(targets=numbers))
    learned, batch = LOGITS[:, 0], Batch(LOGITS, numbers)
    task = regression(data, standardize=True, metrics=[torchmetrics.R2Score()])
    ours = value(regression(data, standardize=True, metrics=["r2"]), learned, batch)
    assert value(task, learned, batch) == pytest.approx(ours, rel=1e-4)

    pixels, masks = torch.randn(9, 3, 5, 5, generator=GENERATOR), torch.randint(3, (9, 5, 5), generator=GENERATOR)
    metric = torchmetrics.JaccardIndex(task="multiclass", num_classes=3)
    batch = Batch(pixels, masks)
    ours = value(segmentation(metrics=["mean_iou"]), pixels, batch)
    assert value(segmentation(metrics=[metric]), pixels, batch) == pytest.approx(ours, rel=1e-5)

    tokens = torch.randint(7, (5, 6), generator=GENERATOR)
    logits = torch.randn(5, 6, 7, generator=GENERATOR)
    metric = torchmetrics.text.Perplexity(ignore_index=-100)
    for batch in (Batch(tokens, tokens), Batch(tokens)):
        ours = value(language_model(), logits, batch)
        assert value(language_model(metrics=[metric]), logits, batch) == pytest.approx(ours, rel=1e-4)


class FoundBoxes(torchmetrics.Metric):
    """Takes boxes as the detection metrics of torchmetrics, which need torchvision: how many true ones are found."""

    higher_is_better = True

    def __init__(self) -> None:
        super().__init__()
        self.add_state("found", torch.tensor(0.0))
        self.add_state("true", torch.tensor(0.0))

    def update(self, preds: list[dict], target: list[dict]) -> None:
        for one, other in zip(preds, target, strict=True):
            same = (one["boxes"][:, None] == other["boxes"][None]).all(-1) & (one["scores"] > 0)[:, None]
            self.found += same.any(0).sum()
            self.true += len(other["labels"])

    def compute(self) -> dict[str, torch.Tensor]:
        return {"share": self.found / self.true, "count": self.true}


def test_boxes_are_given_by_image_and_values_by_key() -> None:
    true = [{"boxes": torch.tensor([[1.0, 1, 9, 9]]), "labels": torch.tensor([0])}] * 3
    found = [{**each, "scores": torch.tensor([0.5])} for each in true[:2]]
    found += [{"boxes": torch.zeros(0, 4), "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.int64)}]
    padded = {name: torch.stack([each[name] for each in true]) for name in ("boxes", "labels")}
    for targets in (true, padded):
        batch = Batch(torch.zeros(3, 1), targets)
        assert value(detection(metrics=[from_torchmetrics(FoundBoxes(), key="share")]), found, batch) == pytest.approx(
            2 / 3
        )
    with pytest.raises(InvalidInput, match="FoundBoxes has the values share, count; set key to one of them"):
        value(detection(metrics=[FoundBoxes()]), found, Batch(torch.zeros(3, 1), true))


def nothing(outputs, batch: Batch):
    return outputs.argmax(1), batch.targets


def test_other_pairs() -> None:
    metric = from_torchmetrics(torchmetrics.MeanAbsoluteError(), pairs=nothing, name="distance")
    task = classification(num_classes=4, metrics=[metric])
    expected = (LOGITS.argmax(1) - LABELS).abs().float().mean()
    assert value(task) == pytest.approx(float(expected))
    assert task.objective.name == "distance"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: from_torchmetrics(torchmetrics.MeanMetric()), "MeanMetric does not say whether more is better"),
        (lambda: from_torchmetrics(nn.Identity()), "got a Identity; give a torchmetrics.Metric"),
        (lambda: from_torchmetrics(torchmetrics.classification.MulticlassAUROC), "torchmetrics: .*num_classes"),
        (
            lambda: value(
                classification(metrics=[torchmetrics.classification.MulticlassRecall(num_classes=4, average=None)])
            ),
            "MulticlassRecall returns 4 numbers; a metric is one",
        ),
        (
            lambda: value(classification(metrics=[torchmetrics.classification.MulticlassAUROC(num_classes=3)])),
            "MulticlassAUROC does not fit the task",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refusal:
        make()
    assert "\n" not in str(refusal.value)


def test_a_metric_of_a_task_stays_as_it_is() -> None:
    own = Metric(name="own", statistics=nothing, value=float)
    assert classification(metrics=[own]).objective is own
