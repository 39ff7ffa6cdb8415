"""Weights of the same size are worth more where they have neighbors; the file of as many is smaller."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from ofa.compress import coded_sizes
from ofa.prune import Pruner
from ofa.prune.context import PruneContext
from ofa.prune.criteria import magnitude, magnitude_per_bit


def context_of(weight: Tensor, mask: Tensor) -> PruneContext:
    layer = nn.Linear(*reversed(weight.shape), bias=False)
    layer.weight.data = weight * mask
    return PruneContext(layer, {"weight": layer.weight}, {"weight": mask}, torch.Generator())


def test_a_weight_alone_is_worth_less_than_one_with_neighbors() -> None:
    mask = torch.zeros(20, 30, dtype=torch.bool)
    mask[0, ::2], mask[::2, 0], mask[10, 10] = True, True, True
    scores = magnitude_per_bit(context_of(torch.ones(20, 30), mask))["weight"]
    assert scores[0, 0] > scores[0, 4] > scores[10, 10] > 0
    dense = magnitude_per_bit(context_of(torch.ones(20, 30), torch.ones(20, 30, dtype=torch.bool)))["weight"]
    assert dense.unique().numel() == 1


def test_the_file_of_as_many_weights_is_smaller() -> None:
    generator = torch.Generator().manual_seed(0)
    rows, columns = (torch.rand(size, generator=generator) + 0.3 for size in (80, 120))
    weight = (0.3 + torch.rand(80, 120, generator=generator)) * rows[:, None] * columns
    sizes = []
    for criterion in (magnitude, partial(magnitude_per_bit, value_bits=0.5, least_bits=0.5)):
        layer = nn.Linear(120, 80, bias=False)
        layer.weight.data.copy_(weight)
        pruner = Pruner(layer, criterion=criterion)
        pruner.prune(0.9, 6)
        assert int(layer.weight.count_nonzero()) == 960
        sizes.append(coded_sizes({"weight": layer.weight.detach().sign()}).total)
    assert sizes[1] < 0.96 * sizes[0]
