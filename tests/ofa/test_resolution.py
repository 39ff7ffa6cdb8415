"""Resolution as a choice: what each Arch costs and computes at its own, and the inputs that it is given."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import ofa
from ofa.arch import Arch
from ofa.data import Dataset, synthetic
from ofa.errors import InvalidArch, InvalidInput
from ofa.randomize import randomize_
from tests.ofa.nets import zeroed_output

RULES = ofa.SpaceRules(multiple_of=2, width_ratios=(0.5, 1.0), kernel_sizes={"*mix": [3, 5]}, resolutions=(9, 13))


class Block(nn.Module):
    """A residual block with a larger kernel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.norm, self.project = nn.BatchNorm2d(channels), nn.Conv2d(channels, channels, 1)

    def forward(self, value: Tensor) -> Tensor:
        return value + self.project(self.norm(self.mix(value)).relu())


class Net(nn.Module):
    """Strides that do not divide every resolution, a product of positions, and a stage of blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(3, 8, 3, stride=2), nn.Sequential(Block(8), Block(8))
        self.down, self.pool, self.head = nn.Conv2d(8, 6, 2, stride=2), nn.AdaptiveAvgPool2d(2), nn.Linear(24, 5)
        self.heights: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.heights.append(images.shape[2])
        value = self.blocks(self.stem(images))
        tokens = value.flatten(2)
        value = value + (tokens @ (tokens.transpose(1, 2) @ tokens / tokens.shape[2]).softmax(2)).view_as(value)
        return self.head(self.pool(self.down(value)).flatten(1))


@cache
def supernet() -> ofa.Supernet:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 16, 20, dtype=torch.float64)
    return ofa.Supernet(randomize_(Net().double()).eval(), images, RULES)


ARCHS = st.integers(0, 2**32 - 1).map(lambda seed: supernet().space.sample(np.random.default_rng(seed)))


def test_the_resolution_is_one_choice_of_the_space_up_to_that_of_the_example() -> None:
    choice = supernet().space.by_key["resolution.input"]
    assert choice.values == (9, 13, 16) and choice.active_when == ((),)
    assert supernet().space.largest.resolution == {"input": 16} and supernet().space.smallest.resolution == {"input": 9}
    row = next(row for row in supernet().report().rows if row.kind == "resolution")
    assert row.state == "elastic" and row.choices == (9, 13, 16)
    assert ofa.inspect(supernet()).choices["resolution"] == 1


def test_without_the_rule_there_is_no_such_choice() -> None:
    plain = ofa.Supernet(Net(), torch.randn(2, 3, 16, 20), ofa.SpaceRules(multiple_of=2))
    assert not plain.structure.resolutions and not plain.space.largest.resolution
    images = torch.randn(4, 3, 16, 20)
    assert ofa.resized(images, plain.space.smallest) is images


@given(ARCHS)
def test_view_copy_and_zeroed_model_agree_at_the_resolution_of_the_arch(arch: Arch) -> None:
    images = ofa.resized(supernet().example_input, arch)
    assert images.shape == (2, 3, arch.resolution["input"], round(20 * arch.resolution["input"] / 16))
    with torch.no_grad():
        viewed = supernet().subnet(arch).eval()(images)
        torch.testing.assert_close(viewed, supernet().extract(arch).eval()(images), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(viewed, zeroed_output(supernet(), arch, images), rtol=1e-10, atol=1e-10)


def test_views_of_several_resolutions_run_in_threads() -> None:
    rng = np.random.default_rng(0)
    archs = [supernet().space.sample(rng) for _ in range(24)]

    def output(arch: Arch) -> Tensor:
        with torch.no_grad():
            return supernet().subnet(arch).eval()(ofa.resized(supernet().example_input, arch))

    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(pool.map(output, archs), map(output, archs), strict=True):
            assert torch.equal(one, other)


def test_the_largest_is_the_model_bit_for_bit() -> None:
    largest, images = supernet().space.largest, supernet().example_input
    given_images = ofa.resized(images, largest)
    assert given_images is images
    with torch.no_grad():
        assert torch.equal(supernet().subnet(largest).eval()(given_images), supernet().model(images))


@given(st.lists(ARCHS, min_size=1, max_size=4))
def test_costs_are_those_of_the_copy_at_its_resolution(archs: list[Arch]) -> None:
    costs, peaks = ofa.cost(supernet(), archs), ofa.peak_activation_bytes(supernet(), archs)
    for number, arch in enumerate(archs):
        net, images = supernet().extract(arch).eval(), ofa.resized(supernet().example_input, arch)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            net(images[:1])
        assert counter.get_total_flops() == 2 * costs["macs"][number]
        assert sum(parameter.numel() for parameter in net.parameters()) == costs["params"][number]
        assert ofa.measure_peak_activation_bytes(net, images) == peaks[number]


def test_a_smaller_resolution_costs_less_and_weighs_the_same() -> None:
    space = supernet().space
    archs = [space.arch({"resolution.input": height}) for height in (9, 13, 16)]
    costs = ofa.cost(supernet(), archs)
    assert (np.diff(costs["macs"]) > 0).all() and (np.diff(costs["activations"]) > 0).all()
    assert (np.diff(ofa.peak_activation_bytes(supernet(), archs)) > 0).all()
    assert len(set(costs["params"])) == 1


def test_archs_with_a_resolution_are_read_back_and_checked() -> None:
    arch = supernet().space.smallest
    assert Arch.from_json(arch.to_json()) == arch and json.loads(arch.to_json())["resolution"] == {"input": 9}
    with pytest.raises(InvalidArch, match=r"resolution.input=10 is not one of 9, 13, 16; the nearest is 9"):
        supernet().space.arch({"resolution.input": 10})


def test_a_saved_supernet_has_its_resolutions(tmp_path: Path) -> None:
    plain = ofa.Supernet(Net(), torch.randn(2, 3, 16, 20), RULES)
    again = ofa.load(ofa.save(plain, tmp_path / "saved"), Net())
    assert again.space.digest == plain.space.digest and again.rules.resolutions == [9, 13]
    archs = [plain.space.smallest, plain.space.largest]
    assert ofa.cost(again, archs)["macs"].tolist() == ofa.cost(plain, archs)["macs"].tolist()


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (torch.zeros(2, 7, dtype=torch.int64), r"are heights of images.*shape \(2, 7\): leave resolutions out"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "are heights of images"),
        ((torch.zeros(2, 3, 8, 8), torch.zeros(2, 1)), "0: .2, 3, 8, 8. float32, 1: .2, 1. float32"),
        (torch.zeros(2, 3, 8, 8), r"exceed the example's height of 8 pixels"),
    ],
)
def test_what_is_no_image_or_a_small_one_is_refused(example: Tensor, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ofa.Supernet(Net(), example, RULES)


@pytest.mark.parametrize("resolutions", ["16", (0,), (8.5,), (True,)])
def test_heights_that_are_none_are_refused(resolutions: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"resolutions=.*give heights in pixels"):
        ofa.SpaceRules(resolutions=resolutions)


def test_inputs_that_are_no_images_are_not_resized() -> None:
    with pytest.raises(InvalidInput, match="a resolution of 9 pixels is of images"):
        ofa.resized(torch.zeros(2, 7), supernet().space.smallest)
    inputs = ofa.resized(ofa.Inputs(torch.randn(2, 3, 16, 20)), supernet().space.smallest)
    assert inputs.only is not None and inputs.only.shape == (2, 3, 9, 11)


@cache
def data() -> Dataset:
    return synthetic(image_size=16, samples=160)


def test_a_data_set_at_a_resolution_gives_the_resized_images() -> None:
    arch = Arch(resolution={"input": 12})
    small = ofa.resized(data(), arch)
    assert small.input_shape == (data().input_shape[0], 12, 12) and small.test.images.shape[2:] == (12, 12)
    assert torch.equal(small.calibration(8), ofa.resized(data().calibration(8), arch))
    assert torch.equal(small.validation.images, ofa.resized(data().validation.images, arch))
    assert small.preprocessing["resize"] == "to 12 pixels of height, antialiased bilinear"
    assert ofa.resized(data(), Arch()) is data()
