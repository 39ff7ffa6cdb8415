"""A batch that does not fit, after the first one: one line that says which, and what of it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

import ofa
from ofa.data import synthetic
from ofa.errors import InvalidInput
from ofa.task import Batch, classification
from ofa.task.failed_batch import failed_batch, forms, named_batch
from tests.ofa.train.network_training import Net, fit

IMAGES = torch.rand(8, 1, 4, 4)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])


def batch(images=IMAGES, labels=LABELS):
    return Batch(images, labels)


def told(error, wrong, earlier=None):
    before = None if earlier is None else forms(earlier)
    found = failed_batch(error, wrong, before, "batch 5 of epoch 2")
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (batch(torch.rand(8, 1, 5, 5)), r"the inputs of batch 5 of epoch 2 are \(N, 1, 5, 5\) torch.float32, and were"),
        (batch(IMAGES.double()), r"are \(N, 1, 4, 4\) torch.float64, and were \(N, 1, 4, 4\) torch.float32 before"),
        (batch((IMAGES, IMAGES)), r"the inputs of batch 5 of epoch 2 are a tuple of \(N, 1, 4, 4\)"),
        (batch(ofa.Inputs(pixels=IMAGES)), r"the inputs of batch 5 of epoch 2 are a dict pixels of \(N, 1, 4, 4\)"),
        (batch(labels=None), r"the targets of batch 5 of epoch 2 are "),
    ],
)
def test_a_batch_of_another_form_is_compared_with_one_before(wrong, message):
    text = told(RuntimeError("mat1 and mat2"), wrong, batch())
    assert re.search(message, text), text
    assert "RuntimeError: mat1 and mat2" in text


def test_another_number_of_examples_is_no_other_form():
    assert told(RuntimeError("of something else"), batch(IMAGES[:3], LABELS[:3]), batch()) is None


def test_a_list_of_an_entry_for_each_example_may_be_shorter():
    boxes = [{"boxes": torch.zeros(number, 4), "labels": torch.zeros(number)} for number in range(8)]
    assert told(RuntimeError("of something else"), batch(IMAGES[:3], boxes[:3]), batch(IMAGES, boxes)) is None
    masks = told(RuntimeError("no masks"), batch(labels=[{"masks": torch.zeros(2, 4)}] * 8), batch(IMAGES, boxes))
    assert "are a list of a dict masks of (N, 4) torch.float32, and were a list of a dict boxes, labels" in masks


@pytest.mark.parametrize(("label", "ends"), [(7, "0 to 7"), (-1, "-1 to 2")])
def test_targets_out_of_range_are_told_with_their_range(label, ends):
    labels = LABELS.clone()
    labels[3] = label
    text = told(IndexError(f"Target {label} is out of bounds."), batch(labels=labels), batch())
    assert f"the targets of batch 5 of epoch 2 run from {ends}" in text


@pytest.mark.parametrize("error", [InvalidInput("known already"), torch.OutOfMemoryError("too large")])
def test_an_error_that_says_more_is_left_alone(error):
    assert told(error, batch(torch.rand(8, 1, 5, 5)), batch()) is None


def test_a_first_batch_has_nothing_to_be_compared_with():
    assert told(RuntimeError("of the network"), batch()) is None


@pytest.mark.parametrize("error", [ZeroDivisionError("of a loss"), RuntimeError("of a loss"), AssertionError()])
def test_an_error_that_is_not_of_the_batch_gets_its_place(error):
    with pytest.raises(type(error)) as raised, named_batch(batch(), lambda: forms(batch()), "batch 5 of epoch 2"):
        raise error
    assert raised.value is error and error.__notes__ == ["at batch 5 of epoch 2"]


def test_a_loss_that_fails_on_a_later_step_is_told_with_its_batch():
    learned = []

    def loss(outputs, given):
        learned.append(given)
        if len(learned) == 5:
            raise ZeroDivisionError
        return outputs.square().mean()

    data = synthetic(image_size=8, num_classes=4, samples=200)  # 3 batches of training examples in an epoch
    with pytest.raises(ZeroDivisionError) as raised:
        fit(Net(), data, task=replace(classification(data), loss=loss))
    assert raised.value.__notes__ == ["at batch 2 of epoch 2"]
