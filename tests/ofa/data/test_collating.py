"""Rows of a data set made into a batch: several inputs, by position and by name."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch

from ofa.data.collating import collate
from ofa.errors import InvalidInput


def test_a_tuple_of_inputs_is_arguments_by_position():
    rows = [((torch.full((1, 4, 4), float(row)), np.arange(3.0) + row), row) for row in range(5)]
    batch = collate(rows)
    assert isinstance(batch.inputs, tuple) and batch.examples == 5
    assert [part.shape for part in batch.inputs] == [(5, 1, 4, 4), (5, 3)]
    assert batch.inputs[1][2].tolist() == [2.0, 3.0, 4.0] and batch.targets.tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(batch.rows(1, 3).inputs.args[1], batch.inputs[1][1:3])


class Pair(NamedTuple):
    image: torch.Tensor
    table: torch.Tensor


def test_a_named_tuple_of_inputs_stays_one():
    batch = collate([(Pair(torch.zeros(2), torch.ones(3)), 0) for _ in range(4)])
    assert isinstance(batch.inputs, Pair) and batch.inputs.table.shape == (4, 3)


def test_inputs_of_different_shapes_are_told_with_their_place():
    rows = [((torch.zeros(2), torch.zeros(length)), 0) for length in (3, 4)]
    with pytest.raises(InvalidInput, match=r"^inputs\[1\] of shapes \(3,\) and \(4,\) make no batch"):
        collate(rows)
