"""Facts that tasks take from data sets."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from ofa.data import Dataset, Preprocessing, Split
from ofa.errors import InvalidInput
from ofa.task import multilabel, regression
from ofa.task.facts import class_names, column_count, training_targets

TARGETS = torch.arange(12.0).reshape(6, 2)


def streamed(*batches: object) -> SimpleNamespace:
    """A data set whose targets come with the inputs."""
    return SimpleNamespace(train=SimpleNamespace(targets=None, in_order=lambda: iter(batches)))


def test_targets_of_training_are_held_or_read_once() -> None:
    held = SimpleNamespace(train=SimpleNamespace(targets=TARGETS))
    read = streamed((torch.zeros(4, 3), TARGETS[:4]), (torch.zeros(2, 3), TARGETS[4:]))
    assert torch.equal(training_targets(held, "it"), training_targets(read, "it"))
    for data in (None, streamed(), streamed((torch.zeros(2, 3), [{}, {}])), SimpleNamespace(train=None)):
        with pytest.raises(InvalidInput, match="it needs the targets of a data set's training split"):
            training_targets(data, "it")


def test_names_are_numbers_where_they_do_not_fit() -> None:
    data = SimpleNamespace(class_names=("cat", "dog"))
    assert class_names(data, 2) == ("cat", "dog")
    assert class_names(data, 3) == class_names(None, 3) == ("0", "1", "2")


def test_columns_are_counted() -> None:
    assert column_count(SimpleNamespace(train=SimpleNamespace(targets=TARGETS), num_classes=9), None) == 2
    assert column_count(SimpleNamespace(num_classes=9), None) == 9
    assert column_count(SimpleNamespace(num_classes=9), 3) == 3
    assert column_count(SimpleNamespace(outputs=4), None) == 4
    assert column_count(None, None) is None


def test_a_data_set_of_numbers_makes_its_tasks() -> None:
    split = Split(torch.randn(6, 3), TARGETS, Preprocessing(1.0, (), ()))
    data = Dataset("numbers", split, split, split, target_names=("a", "b"))
    task = regression(data, standardize=True)
    mean = TARGETS.mean(dim=0)
    assert torch.allclose(task.predictions(torch.zeros(6, 2), SimpleNamespace(targets=TARGETS)), mean.expand(6, 2))
    labels = Split(torch.randn(6, 3), (TARGETS > 4).float(), Preprocessing(1.0, (), ()))
    multilabel(Dataset("labels", labels, labels, labels, target_names=("a", "b")), pos_weight="balanced")
