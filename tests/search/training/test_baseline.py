"""Networks that are no better than a constant answer are said, and those that luck may have lifted above it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ofa.data import from_dataset, from_iterables
from ofa.errors import InvalidInput
from ofa.models import LeNet5
from ofa.task import Batch, Metric, Score, Task, classification
from search.training.baseline import baseline_of, check_metrics, no_better, validation_baseline
from tests.search.scored import ACCURACY


@pytest.mark.parametrize(
    ("reached", "said"),
    [
        (0.40, ["it is no better than the baseline: accuracy 40.00 % on 16 examples, a constant answer gets 43.75 %"]),
        (
            0.625,
            [
                "it is within two standard errors of the baseline: accuracy 62.50 % on 16 examples, "
                "a constant answer gets 43.75 %"
            ],
        ),
        (0.70, []),
    ],
)
def test_what_is_said(reached: float, said: list[str]) -> None:
    baseline = {"accuracy": Score(0.4375, 16, 0.124)}
    assert no_better("it", ACCURACY, {"accuracy": Score(reached, 16, 0.12)}, baseline) == said


def loader(channels: int = 1, first: int = 0) -> Callable[[int], list[tuple[Tensor, Tensor]]]:
    """Returns a loader of three batches, whose labels are four from `first` on."""
    return lambda epoch: [(torch.rand(16, channels, 8, 8), first + torch.arange(16) % 4)] * 3


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_split_of_another_form_or_other_labels_is_refused_before_the_training(part: str) -> None:
    splits = {"train": loader(), "validation": loader(), "test": loader()}
    net = LeNet5((1, 8, 8), 4)

    def check(**other: Callable[[int], list[tuple[Tensor, Tensor]]]) -> None:
        data = from_iterables(**{**splits, **other}, num_classes=4)
        check_metrics(net, data, classification(data))

    check()
    with pytest.raises(InvalidInput, match=rf"inputs of the {part} split are \(N, 3, 8, 8\) .* were \(N, 1, 8, 8\)"):
        check(**{part: loader(channels=3)})
    with pytest.raises(InvalidInput, match="labels run from 4 to 7"):
        check(**{part: loader(first=4)})


def named(outputs: Any, batch: Batch) -> Tensor:
    return torch.ones(batch.examples, 2) * outputs["mine"].shape[0]


def test_a_metric_that_takes_a_networks_outputs_alone_has_no_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    data = from_iterables(train=loader(), validation=loader(), num_classes=4)
    own = Metric(name="own", statistics=named, value=lambda sums: sums[0] / sums[1])
    task = replace(classification(data), metrics=(own,))
    assert baseline_of(task, data) is None and validation_baseline(task, data) is None
    assert "no baseline: a metric of task classification cannot be computed of a constant" in capsys.readouterr().err
    assert baseline_of(classification(data), data) is not None


def hits(outputs: Tensor, batch: Batch) -> Tensor:
    return (outputs.argmax(1) == batch.targets).double()[:, None]


def share(sums: Tensor) -> Tensor:
    return sums[..., 0] / 512


@pytest.mark.parametrize("by_rows", [True, False])
def test_a_metric_of_ones_own_is_tried_on_some_examples_with_their_targets(by_rows: bool) -> None:
    read = list[int]()

    class Rows:
        def __len__(self) -> int:
            return 2000

        def __getitem__(self, row: int) -> tuple[Tensor, int]:
            read.append(row)
            return torch.zeros(1, 4), row % 3

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, 2000, 50):
            rows = [Rows()[row] for row in range(start, start + 50)]
            yield torch.stack([inputs for inputs, _ in rows]), torch.tensor([label for _, label in rows])

    rows: dict[str, Any] = {"train": Rows(), "validation": Rows(), "test": Rows()}
    loaders: dict[str, Any] = {**dict.fromkeys(rows, batches), "steps": dict.fromkeys(rows, 40)}
    data = from_dataset(**rows, num_classes=3) if by_rows else from_iterables(**loaders, num_classes=3)
    metric = Metric(name="hits", statistics=hits, value=share)
    task = Task(name="mine", loss=lambda outputs, batch: outputs.mean(), metrics=(metric,))
    read.clear()
    check_metrics(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)), data, task)
    assert 1024 <= len(read) < 1200  # of the two splits that nothing is trained on
