"""A pruner's patterns: what grows back, 2 of 4 weights, and blocks."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from ofa.prune import Constant, Cubic, OneShot, Pruner
from ofa.prune.allocation import erk, per_layer
from ofa.prune.criteria import random_
from ofa.prune.granularity import block, n_of_m
from ofa.prune.regrowth import SET, RigL
from tests.ofa.prune.patterns import keeps_pattern
from tests.ofa.prune.pruned_training import OPTIMIZERS, batches, net, train


@pytest.mark.parametrize("regrowth", [RigL(alpha=0.3, every=5, until=60), SET(fraction_=0.3, every=5, until=60)])
def test_regrowth_changes_masks_and_keeps_each_layers_density(regrowth: Any) -> None:
    model = net()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    pruner = Pruner(
        model, optimizer, schedule=Constant(0.8), criterion=random_, allocation=erk, regrowth=regrowth, seed=0
    )
    before = {name: mask.clone() for name, mask in pruner.masks.items()}
    train(model, optimizer, pruner, 61)
    for name, mask in pruner.masks.items():
        assert int(mask.sum()) == int(before[name].sum())
        if int(mask.sum()) < mask.numel():
            assert not torch.equal(mask, before[name])


def test_rigl_grows_where_the_dense_gradient_is_largest() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    pruner = Pruner(
        model, optimizer, schedule=Constant(0.5), allocation=per_layer, regrowth=RigL(alpha=0.3, every=2, until=10)
    )
    reference = copy.deepcopy(model)
    before = {name: mask.clone() for name, mask in pruner.masks.items()}
    data = list(batches(2))
    for images, labels in data:
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        pruner.step()
    functional.cross_entropy(reference(data[1][0]), data[1][1]).backward()
    for name, mask in pruner.masks.items():
        grown = mask & ~before[name]
        gradient = reference.get_parameter(name).grad
        assert gradient is not None and bool(grown.any())
        inactive = gradient.abs()[~before[name]]
        least = inactive.topk(int(grown.sum())).values[-1]
        assert bool((gradient.abs()[grown] >= least).all())


def test_gradient_accumulation_captures_the_sum_of_dense_gradients() -> None:
    model = net()
    pruner = Pruner(model, schedule=Constant(0.5), regrowth=RigL(alpha=0.3, every=1, until=10))
    reference = copy.deepcopy(model)
    for images, labels in batches(2):
        functional.cross_entropy(model(images), labels).backward()
        functional.cross_entropy(reference(images), labels).backward()
    for name, mask in pruner.masks.items():
        dense = reference.get_parameter(name).grad
        assert dense is not None
        torch.testing.assert_close(pruner._masking.captured[name][~mask], dense[~mask])


def test_patterns_of_n_of_m_and_blocks() -> None:
    model = net()
    pruner = Pruner(model, schedule=Cubic(0.5, begin=0, end=6, every=2), granularity=n_of_m)
    for _ in range(6):
        pruner.step()
    assert pruner.density == 0.5
    assert all(keeps_pattern(mask, 2, 4) for mask in pruner.masks.values())
    model = net()
    pruner = Pruner(model, schedule=OneShot(0.75), granularity=partial(block, rows=4, columns=2))
    for mask in pruner.masks.values():
        tiles = mask.reshape(mask.shape[0] // 4, 4, mask.shape[1] // 2, 2).sum(dim=(1, 3))
        assert set(tiles.unique().tolist()) <= {0, 8}
    assert pruner.sparsity == pytest.approx(0.75, abs=1e-3)


def test_n_of_m_keeps_the_two_largest_of_four() -> None:
    model = net()
    weight = model.get_parameter("hidden.0.weight").detach().clone()
    pruner = Pruner(model, schedule=OneShot(0.5), granularity=n_of_m)
    best = weight.abs().reshape(-1, 4).topk(2, dim=1).indices
    expected = torch.zeros(weight.numel() // 4, 4, dtype=torch.bool).scatter_(1, best, True)
    assert torch.equal(pruner.masks["hidden.0.weight"], expected.reshape(weight.shape))


def test_convolutions_are_grouped_along_their_inputs() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(8, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 1))
    pruner = Pruner(model, schedule=OneShot(0.5), granularity=n_of_m)
    for mask in pruner.masks.values():
        assert bool((mask.reshape(mask.shape[0], -1, 4, *mask.shape[2:]).sum(dim=2) == 2).all())
