"""The profile stage and the measuring of chosen subnets, on a runtime whose time is made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import ofa
from ofa.errors import InvalidInput
from search.device import Clock, OnnxRuntime, read_profile
from search.device.measure_archs import drift_since, measure_archs
from search.device.profile_device import profile_device
from tests.record_files import rewrite


class CountingRuntime:
    """A device where a run takes 10 us and 1 us for every 1000 weights."""

    name = "counting"

    def __init__(self, slowness: float = 1.0) -> None:
        self.now, self.slowness = 0.0, slowness

    def load(self, net: nn.Module, example_input: torch.Tensor):
        took = self.slowness * (1e-5 + 1e-9 * sum(parameter.numel() for parameter in net.parameters()))

        def run() -> object:
            self.now += took
            return None

        return run

    def describe(self):
        return {"name": self.name}


@pytest.fixture
def device(monkeypatch):
    """A made-up machine: its runtime moves the clock that the stage reads."""

    def made(slowness: float = 1.0) -> CountingRuntime:
        runtime = CountingRuntime(slowness)
        clock = Clock("wall", lambda: runtime.now)
        monkeypatch.setattr("search.device.profile_device.clock_named", lambda name: clock)
        monkeypatch.setattr("search.device.measure_archs.clock_named", lambda name: clock)
        return runtime

    return made


def test_the_profile_is_written_and_predicts_what_the_device_does(tmp_path: Path, supernet, device):
    path, rows = tmp_path / "bench.json", []
    runtime = device()
    profile = profile_device(
        supernet, runtime, path=path, anchors=20, visits=8, name="bench", progress=lambda row: rows.append(row)
    )
    assert read_profile(path, supernet) == profile
    assert (profile.name, profile.runtime, profile.space) == ("bench", {"name": "counting"}, supernet.space.digest)
    assert [anchor.arch for anchor in profile.anchors[:2]] == [supernet.space.smallest, supernet.space.largest]
    assert profile.quality.verdict == "ok"
    assert profile.held_out_error < 0.02
    generator = np.random.default_rng(5)
    archs = [supernet.space.sample(generator) for _ in range(20)]
    true = 1e-2 + 1e-6 * ofa.cost(supernet, archs)["params"]
    np.testing.assert_allclose(profile.predict_archs(supernet, archs), true, rtol=0.05)
    assert {row.stage for row in rows} == {"load", "measure"}


def test_finalists_come_back_in_order_beside_the_largest(supernet, device):
    archs = [supernet.space.largest, supernet.space.smallest, supernet.space.largest]
    found = measure_archs(supernet, archs, device(), visits=4)
    assert [one.arch for one in found] == archs
    assert found[0].relative == pytest.approx(1.0)
    true = 1e-2 + 1e-6 * ofa.cost(supernet, archs)["params"]
    np.testing.assert_allclose([one.ms for one in found], true, rtol=1e-3)
    np.testing.assert_allclose(found[1].relative, true[1] / true[0], rtol=1e-3)


def test_a_machine_that_became_slower_is_put_on_the_profiles_scale(supernet, device):
    profile = profile_device(supernet, device(), anchors=8, visits=4)
    archs = [supernet.space.smallest]
    (before,) = measure_archs(supernet, archs, device(), profile=profile, visits=4)
    (after,) = measure_archs(supernet, archs, device(1.5), profile=profile, visits=4)
    assert after.drift == pytest.approx(1.5, rel=1e-3)
    assert after.ms == pytest.approx(before.ms, rel=1e-3)
    assert after.raw_ms == pytest.approx(1.5 * before.ms, rel=1e-3)
    assert drift_since(profile, profile.sentinel, [], "cpu") == 1.0


def test_a_profile_of_another_space_shape_or_model_is_refused_by_name(tmp_path: Path, supernet, device):
    path = tmp_path / "bench.json"
    profile_device(supernet, device(), path=path, anchors=8, visits=4)
    narrow = ofa.Supernet(supernet.model, torch.randn(2, 1, 8, 8), ofa.SpaceRules(width_ratios=(0.5, 1.0)))
    with pytest.raises(InvalidInput, match=r"bench\.json is of another space"):
        read_profile(path, narrow)
    rewrite(path, lambda content: content["protocol"].update(input_shape=[1, 1, 28, 28]))
    with pytest.raises(InvalidInput, match=r"bench\.json is of inputs \[1, 28, 28\]"):
        read_profile(path, supernet)
    rewrite(path, lambda content: content["protocol"].update(input_shape=[1, 1, 8, 8]))
    rewrite(path, lambda content: content["anchors"][1]["costs"].update(macs=12345))
    with pytest.raises(InvalidInput, match=r"bench\.json is of a model .* other layers"):
        read_profile(path, supernet)


def test_wrong_settings_are_refused_before_anything_is_measured(tmp_path: Path, supernet):
    runtime = CountingRuntime()
    with pytest.raises(InvalidInput, match="anchors=3"):
        profile_device(supernet, runtime, path=tmp_path / "bench.json", anchors=3)
    with pytest.raises(InvalidInput, match="clock='sundial'"):
        profile_device(supernet, runtime, path=tmp_path / "bench.json", clock="sundial")
    with pytest.raises(InvalidInput, match="nowhere"):
        measure_archs(supernet, [ofa.Arch(width={"nowhere": 8})], runtime)
    assert list(tmp_path.iterdir()) == []


def test_it_works_on_this_machine_for_real(tmp_path: Path, supernet):
    path = tmp_path / "here.json"
    try:
        profile = profile_device(supernet, OnnxRuntime(), path=path, anchors=6, visits=6, repeats=3, seconds=5)
    except ofa.InvalidInput as error:
        assert "the measurement is rejected" in str(error) and not path.exists()
        pytest.skip("this machine is busy: its measurement was rejected, as it must be")
    assert read_profile(path, supernet) == profile
    assert all(anchor.ms > 0 for anchor in profile.anchors)
    assert profile.runtime["threads"] == 1
    (found,) = measure_archs(
        supernet, [supernet.space.smallest], OnnxRuntime(), profile=profile, visits=6, repeats=3, seconds=5
    )
    assert found.ms > 0 and found.drift > 0
