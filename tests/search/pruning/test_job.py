"""Methods that try networks judge them by the task's metric, and are refused where it is no fraction."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ofa._evaluate import evaluate
from ofa.data import Dataset, synthetic
from ofa.errors import InvalidInput
from ofa.task import Task, classification, regression, scores
from search.app.main import main
from search.pruning.job import BATCH, judge_of, judged, with_rate
from search.pruning.retraining import check_judged, learn_filters, learn_widths, retrain


def job_of(task: Task, data: Dataset) -> SimpleNamespace:
    return SimpleNamespace(network=SimpleNamespace(task=task), data=data)


@pytest.mark.parametrize("examples", [7, BATCH, BATCH + 30])
def test_accuracy_is_that_of_the_first_examples(examples: int) -> None:
    data = synthetic(image_size=8, samples=3000)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, data.num_classes))
    first = data.validation.take(torch.arange(examples))
    job = job_of(classification(data), data)
    assert judged(net, job, examples) == judge_of(job, examples)(net) == evaluate(net, *first)
    assert judged(net, job, 10**6) == evaluate(net, data.validation.in_order())


def test_another_metric_is_that_of_the_task() -> None:
    data = synthetic(image_size=8, samples=300)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, data.num_classes))
    task = classification(data, metrics=("macro_f1", "accuracy"))
    expected = scores(net, data.validation.in_order(), task)["macro_f1"].value
    assert judged(net, job_of(task, data), 10**6) == expected


@pytest.mark.parametrize(
    "method", [learn_widths, partial(learn_filters, bound=0.1), partial(retrain, sensitivity_drop=0.1)]
)
def test_a_metric_that_is_no_fraction_is_refused(method) -> None:
    check_judged(method, classification(num_classes=3))
    check_judged(partial(retrain, sensitivity_drop=None), regression())
    with pytest.raises(InvalidInput, match=r"a score from 0 to 1; RMSE of task regression is not one"):
        check_judged(method, regression())


def test_the_verb_refuses_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table = ["data=diabetes", "model=mlp", "task=regression", "dense.epochs=1"]
    assert main(["prune", *table, "prune=amc"]) == 2
    assert "prune.method judges networks by a score from 0 to 1" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_rate_that_is_to_be_found_cannot_be_scaled() -> None:
    finds = partial(torch.optim.SGD, lr="auto")
    assert with_rate(finds, 1.0) is finds
    with pytest.raises(InvalidInput, match=r"finetune\.learning_rate scales .*give finetune\.optimizer"):
        with_rate(finds, 0.2, "finetune.learning_rate", "the optimizer's lr")
