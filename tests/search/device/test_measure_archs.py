"""Chosen subnets on another machine: what is known, what is missing, and the scale that new figures come on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import ofa
from ofa.errors import InvalidInput
from search.device import Clock, Measurement, Profile
from search.device.measure_archs import SCALE_ANCHORS, known_archs, sample_of, unknown_archs, with_measured
from search.device.profile_device import profile_device
from tests.search.profiles import timing


class Device:
    """A runtime that takes 0.1 ms and 1 us for every 1000 weights."""

    name = "made-up"

    def __init__(self) -> None:
        self.now = 0.0

    def load(self, net: nn.Module, example_input: torch.Tensor):
        took = 1e-4 + 1e-9 * sum(parameter.numel() for parameter in net.parameters())

        def run() -> None:
            self.now += took

        return run

    def describe(self):
        return {"name": self.name}


@pytest.fixture(scope="module")
def profile(supernet) -> Profile:
    device = Device()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("search.device.profile_device.clock_named", lambda name: Clock("wall", lambda: device.now))
        return profile_device(supernet, device, anchors=10, blocks=0, alignment=False, visits=4, repeats=1)


@pytest.fixture(scope="module")
def strangers(supernet, profile) -> list[ofa.Arch]:
    generator = np.random.default_rng(7)
    known = {anchor.arch for anchor in profile.anchors}
    return [arch for arch in (supernet.space.sample(generator) for _ in range(10)) if arch not in known][:3]


def test_what_a_profile_has_measured_is_known(supernet, profile, strangers):
    anchors = [profile.anchors[3].arch, profile.anchors[1].arch, profile.anchors[3].arch]
    assert unknown_archs(profile, [*anchors, *strangers, strangers[0]]) == strangers
    found = known_archs(profile, supernet, anchors)
    assert [one.arch for one in found] == anchors
    assert [one.ms for one in found] == [profile.anchors[index].ms for index in (3, 1, 3)]
    assert found[1].relative == 1.0  # the second anchor is the largest subnet
    assert found[0].relative == pytest.approx(profile.anchors[3].ms / profile.anchors[1].ms)


def test_some_anchors_are_measured_again_beside_what_is_missing(supernet, profile, strangers):
    sample = sample_of(profile, supernet, strangers)
    assert sample.items.archs[:3] == tuple(strangers)
    assert len(sample.items.archs) == len(sample.nets) == 3 + SCALE_ANCHORS
    assert set(sample.items.archs[3:]) <= {anchor.arch for anchor in profile.anchors}
    assert sample.parts == ()


def there(profile: Profile, archs, slowness: float, **fields) -> Measurement:
    """A measurement on a machine that became slower, where every stranger takes 1 ms on the profile's scale."""
    known = {anchor.arch: anchor.ms for anchor in profile.anchors}
    return Measurement(
        timings=tuple(timing(slowness * known.get(arch, 1.0)) for arch in archs),
        sentinel=timing(slowness * profile.sentinel.ms),
        **{"drift": 0.0, "disagreement": 0.01, "clock": "wall", "seconds": 1.0, **fields},
    )


def test_figures_come_on_the_scale_of_the_profile(supernet, profile, strangers):
    archs = sample_of(profile, supernet, strangers).items.archs
    learned = with_measured(profile, supernet, archs, there(profile, archs, 1.5))
    added = learned.anchors[len(profile.anchors) :]
    assert [anchor.arch for anchor in added] == strangers
    assert [anchor.ms for anchor in added] == pytest.approx([1.0] * 3)
    assert {anchor.origin for anchor in added} == {"finalist"}
    assert learned.anchors[: len(profile.anchors)] == profile.anchors
    assert learned.digest == profile.digest
    assert unknown_archs(learned, strangers) == []
    assert with_measured(learned, supernet, archs, there(profile, archs, 1.5)) == learned


def test_a_measurement_that_says_nothing_is_refused(supernet, profile, strangers):
    archs = sample_of(profile, supernet, strangers).items.archs
    noisy = replace(there(profile, archs, 1.0), disagreement=0.3)
    with pytest.raises(InvalidInput, match="disagree by 30%, and 15% is the most"):
        with_measured(profile, supernet, archs, noisy)
