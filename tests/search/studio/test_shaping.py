"""The network of a setting is the one that the library makes by the same steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.compress import share
from ofa.errors import InvalidInput
from ofa.prune import Pruner
from ofa.prune.allocation import global_, per_layer
from search.config.compressing import StudioSetting
from search.studio.opened import Opened
from search.studio.shaping import Shaped, Workbench

STEM, LATER = "stem.conv.weight", "stages.1.0.conv1.weight"


def quiet(piece: Mapping[str, Any]) -> None:
    """Hears nothing."""


def shaped(opened: Opened, **setting: Any) -> Shaped:
    return Workbench(opened).shape(StudioSetting(**setting), quiet)


def by_hand(opened: Opened, arch: ofa.Arch) -> nn.Module:
    assert opened.supernet is not None
    return ofa.calibrate(opened.supernet.extract(arch), opened.calibration)


def same(first: nn.Module, second: nn.Module) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def share_removed(masks: Mapping[str, Tensor], name: str) -> float:
    return float((~masks[name]).double().mean())


def test_without_a_setting_it_is_the_largest_subnet(opened: Opened) -> None:
    assert opened.supernet is not None
    assert same(shaped(opened).network, by_hand(opened, opened.supernet.space.largest))


def test_a_shape_is_a_subnet_and_its_score_that_of_the_library(opened: Opened) -> None:
    assert opened.supernet is not None
    arch = opened.supernet.space.smallest
    one = shaped(opened, arch=dict(arch.values))
    assert one.arch == arch
    assert same(one.network, by_hand(opened, arch))


def test_whole_and_single_sparsities_bits_and_norms_are_those_of_the_library(opened: Opened) -> None:
    assert opened.supernet is not None
    one = shaped(opened, sparsity=0.6, layers={STEM: 0.9, LATER: 0.0}, bits=3, layer_bits={STEM: 2})
    network = by_hand(opened, opened.supernet.space.largest)
    allocation = partial(per_layer, sparsities={STEM: 0.9, LATER: 0.0}, otherwise=global_)
    pruner = Pruner(network, allocation=allocation, example_input=opened.data.example())
    pruner.prune(0.6)
    pruner.finalize()
    share(network, {"*": 3, STEM: 2}).put(network)
    ofa.calibrate(network, opened.calibration)
    assert same(one.network, network)
    assert share_removed(one.masks, STEM) == pytest.approx(0.9, abs=0.01)
    assert LATER not in one.masks
    weights = dict(one.network.named_parameters())
    assert len(weights[STEM].unique()) <= 5 and len(weights[LATER].unique()) <= 8


def test_one_layer_alone_leaves_the_others(opened: Opened) -> None:
    one = shaped(opened, layers={LATER: 0.5}, allocation="lamp")
    assert list(one.masks) == [LATER]
    assert share_removed(one.masks, LATER) == 0.5


@pytest.mark.parametrize("parts", [{"criterion": "taylor"}, {"allocation": "erk"}, {"granularity": "block"}])
def test_parts_are_those_of_the_configurations(opened: Opened, parts: dict[str, Any]) -> None:
    usual, other = shaped(opened, sparsity=0.5), shaped(opened, sparsity=0.5, **parts)
    assert any(not torch.equal(mask, usual.masks[name]) for name, mask in other.masks.items() if name in usual.masks)


def is_of_norms(piece: Mapping[str, Any]) -> bool:
    return str(piece["text"]).startswith("norm statistics")


@pytest.mark.parametrize("schedule", ["one_shot", "cubic"])
def test_an_epoch_of_fine_tuning_keeps_masks_and_is_remembered(opened: Opened, schedule: str) -> None:
    bench = Workbench(opened)
    told: list[Mapping[str, Any]] = []
    setting = StudioSetting(sparsity=0.5, layers={STEM: 0.75}, epochs=1, schedule=schedule)
    one = bench.shape(setting, told.append)
    trained = [piece["text"] for piece in told if "progress" in piece and not is_of_norms(piece)]
    assert trained
    assert len(one.history) == 1
    assert share_removed(one.masks, STEM) == pytest.approx(0.75, abs=0.01)
    weights = dict(one.network.named_parameters())
    assert all(not bool(weights[name][~mask].any()) for name, mask in one.masks.items())
    told.clear()
    again = bench.shape(setting, told.append)
    assert all(is_of_norms(piece) for piece in told if "progress" in piece)  # which are measured anew: no training
    assert same(one.network, again.network)
    assert same(one.network, shaped(opened, sparsity=0.5, layers={STEM: 0.75}, epochs=1, schedule=schedule).network)


def test_the_supernet_is_as_it_was(opened: Opened) -> None:
    assert opened.supernet is not None
    before = opened.supernet.digest
    shaped(opened, sparsity=0.9, bits=2)
    shaped(opened, sparsity=0.5, epochs=1)
    assert opened.supernet.digest == before


def test_a_setting_is_canonical(opened: Opened) -> None:
    assert opened.supernet is not None
    space = opened.supernet.space
    largest = {key: space.by_key[key].values[-1] for key in space.largest.values}
    assert opened.canonical(StudioSetting(arch=largest)) == StudioSetting()
    smallest = StudioSetting(arch=dict(space.smallest.values), layers=dict.fromkeys(opened.layers, 0.5))
    there = {name for name, _ in opened.supernet.subnet(space.smallest).named_parameters()}
    assert set(opened.canonical(smallest).layers) == there & set(opened.layers)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            {"layers": {"stem.conv": 0.5}},
            "setting.layers.stem.conv is no layer's weight; did you mean stem.conv",
        ),
        ({"layer_bits": {"stem": 5}}, "setting.layer_bits.stem is no layer's weight"),
        ({"arch": {"width.stem": 8}}, "'width.stem' is not a choice of this space"),
        ({"arch": {"width.stem.conv": 3}}, "width.stem.conv=3 is not one of"),
        ({"sparsity": 0.5, "criterion": "magnitud"}, "setting.criterion='magnitud' is not known; did you mean"),
        ({"sparsity": 0.5, "epochs": 1, "schedule": "none"}, "setting.schedule='none' is not known"),
        ({"sparsity": 0.5, "criterion": "std_threshold"}, ""),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(opened: Opened, setting: dict[str, Any], said: str) -> None:
    if not said:
        shaped(opened, **setting)
        return
    with pytest.raises(InvalidInput) as error:
        shaped(opened, **setting)
    assert said in str(error.value)
