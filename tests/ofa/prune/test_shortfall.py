"""A pruner that removed less than it was to remove says so; one that did says nothing."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from ofa.errors import CollapseWarning
from ofa.prune import Cubic, OneShot, Pruner
from ofa.prune.allocation import budget, by_group, erk, global_, lamp, per_layer, threshold
from ofa.prune.criteria import std_threshold
from ofa.prune.granularity import block, channel, n_of_m

EXAMPLE = torch.zeros(2, 3, 8, 8)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 32, 3), nn.Flatten(), nn.Linear(512, 10)
    )


@pytest.mark.parametrize("allocation", [global_, erk, lamp, partial(budget, metric="params")])
@pytest.mark.parametrize("sparsity", [0.3, 0.95])
def test_reached_is_not_said(allocation: object, sparsity: float) -> None:
    pruner = Pruner(network(), schedule=OneShot(sparsity), allocation=allocation, example_input=EXAMPLE)
    assert not [line for line in pruner.warnings() if "not reached" in line]


@pytest.mark.parametrize("granularity", [n_of_m, block, partial(channel, multiple_of=1)])
def test_pieces_count(granularity: object) -> None:
    pruner = Pruner(network(), schedule=OneShot(0.5), granularity=granularity, example_input=EXAMPLE)
    assert not pruner.warnings()


def test_a_training_that_ended_early_is_said() -> None:
    model = network()
    pruner = Pruner(model, schedule=Cubic(0.9, begin=0, end=10, every=2))
    for _ in range(6):
        pruner.step()
    (line,) = pruner.warnings()
    assert line == f"sparsity 0.9 was not reached: {pruner.sparsity:.4g} of the pieces are removed"
    with pytest.warns(CollapseWarning, match=r"sparsity 0\.9 was not reached"):
        pruner.finalize()


def test_widths_that_are_rounded_are_said() -> None:
    pruner = Pruner(
        network(), schedule=OneShot(0.7), granularity=partial(channel, multiple_of=32), example_input=EXAMPLE
    )
    assert "sparsity 0.7 was not reached" in pruner.warnings()[0]


def test_thresholds_that_keep_more_are_said() -> None:
    pruner = Pruner(
        network(), schedule=OneShot(0.9), criterion=partial(std_threshold, quality=0.5), allocation=threshold
    )
    assert "sparsity 0.9 was not reached" in pruner.warnings()[0]


def test_layers_with_a_sparsity_of_their_own_are_what_was_asked() -> None:
    for allocation in (
        partial(per_layer, rates={"0.weight": 0.0}),
        partial(by_group, groups={"stem": {"match": ["0.*"], "sparsity": 0.1}}),
    ):
        pruner = Pruner(network(), schedule=OneShot(0.5), allocation=allocation)
        assert not pruner.warnings()


def test_a_ruined_layer_is_said_when_the_network_is_handed_over() -> None:
    model = network()
    pruner = Pruner(model)
    masks = {name: mask.clone() for name, mask in pruner.masks.items()}
    masks["3.weight"].zero_()
    pruner.set_masks(masks)
    with pytest.warns(CollapseWarning, match=r"1 of 3 pruned layers keeps no weight, .* 3\.weight of 18,432"):
        pruner.finalize()
