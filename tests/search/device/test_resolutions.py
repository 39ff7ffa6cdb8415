"""Resolution in a profile: networks and blocks are timed at the resolution of their Arch, and predictions know it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import ofa
from ofa.models import ResNet
from search.device import Clock, OnnxRuntime
from search.device.latency.blocks import find_blocks, pieces_of
from search.device.latency.pieces import local_columns
from search.device.latency.sample import choose_sample
from search.device.measure_archs import measure_archs, sample_of
from search.device.profile import Profile
from search.device.profile_device import profile_device
from search.device.remote.bundle import write_bundle
from search.device.remote.manifest import BundleProtocol


class ByMacs:
    """A device where a run takes 10 us and 1 us for every 10,000 multiply-accumulates, on a clock of its own."""

    name = "by_macs"

    def __init__(self) -> None:
        self.now = 0.0

    def load(self, net: nn.Module, example_input: torch.Tensor) -> Any:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            net(example_input)
        took = 1e-5 + 1e-10 * counter.get_total_flops() / 2

        def run() -> None:
            self.now += took

        return run

    def describe(self) -> dict[str, str]:
        return {"name": self.name}


@pytest.fixture(scope="module")
def supernet() -> ofa.Supernet:
    torch.manual_seed(0)
    net = ResNet((3, 16, 16), 10, depth=8, widths=(16, 16, 32))
    return ofa.Supernet(net.eval(), torch.randn(2, 3, 16, 16), ofa.SpaceRules(resolutions=(9, 12)))


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> ByMacs:
    device = ByMacs()
    clock = Clock("wall", lambda: device.now)
    for module in ("profile_device", "measure_archs"):
        monkeypatch.setattr(f"search.device.{module}.clock_named", lambda name: clock)
    return device


def profiled(supernet: ofa.Supernet, runtime: ByMacs) -> Profile:
    return profile_device(supernet, runtime, anchors=16, blocks=60, visits=6, alignment=False, name="bench")


def true_ms(supernet: ofa.Supernet, archs: list[ofa.Arch]) -> Any:
    return 1e-2 + 1e-7 * ofa.cost(supernet, archs)["macs"]


def test_blocks_get_the_maps_of_the_resolution(supernet: ofa.Supernet) -> None:
    blocks, rows = find_blocks(supernet), {}
    for height in (9, 12, 16):
        arch = supernet.space.arch({"resolution.input": height})
        rows[height] = {piece.block.name: piece for piece in pieces_of(supernet, arch, blocks)}
        assert rows[height]["stem"].example_input.shape == (1, 3, height, height)
        assert rows[height]["stages.2.0"].example_input.shape[2] == -(-height // 2)
    for block in blocks:
        assert "resolution.input" in {supernet.space.choices[at].key for at in local_columns(supernet, block)}
    assert len({rows[height]["stages.1.0"].key for height in rows}) == 3
    assert len({rows[height]["classifier"].key for height in rows}) == 1  # what is pooled is of one size


def test_a_profile_predicts_every_resolution(supernet: ofa.Supernet, runtime: ByMacs) -> None:
    profile = profiled(supernet, runtime)
    assert {anchor.arch.resolution["input"] for anchor in profile.anchors} == {9, 12, 16}
    rng = np.random.default_rng(1)
    archs = [supernet.space.sample(rng) for _ in range(40)]
    np.testing.assert_allclose(profile.predict_archs(supernet, archs), true_ms(supernet, archs), rtol=0.03)
    assert profile.table(supernet) is not None


def test_subnets_are_measured_at_their_resolution(supernet: ofa.Supernet, runtime: ByMacs) -> None:
    archs = [supernet.space.arch({"resolution.input": height}) for height in (12, 9, 16)]
    measured = measure_archs(supernet, archs, runtime, profile=profiled(supernet, runtime), visits=4)
    np.testing.assert_allclose([each.ms for each in measured], true_ms(supernet, archs), rtol=1e-6)
    assert measured[2].relative == 1.0 and measured[1].relative < measured[0].relative < 1.0


def test_bundles_hold_networks_of_several_resolutions(supernet: ofa.Supernet, runtime: ByMacs, tmp_path: Path) -> None:
    archs = [supernet.space.smallest, supernet.space.largest]
    sample = sample_of(profiled(supernet, runtime), supernet, archs)
    manifest = write_bundle(
        tmp_path / "pi.zip",
        supernet,
        OnnxRuntime(),
        sample,
        device="pi",
        purpose="finalists",
        protocol=BundleProtocol(clock="wall", visits=6, repeats=2, seconds=1.0, seed=0),
        settings={},
        versions={},
    )
    heights = [arch.resolution["input"] for arch in sample.items.archs]
    assert heights[:2] == [9, 16]
    assert [network.shape[2] for network in manifest.networks[: len(heights)]] == heights
    assert zipfile.ZipFile(tmp_path / "pi.zip").testzip() is None


def test_a_sample_has_an_input_for_each_subnet(supernet: ofa.Supernet) -> None:
    sample = choose_sample(supernet, anchors=6, blocks=4, alignment=False, seed=0)
    for arch, (_, example) in zip(sample.items.archs, sample.nets, strict=True):
        assert isinstance(example, torch.Tensor) and example.shape == (1, 3, *2 * [arch.resolution["input"]])
