"""Finalists as anchors: the fit moves towards them, and the profile stays the one that searches were made with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ofa.errors import InvalidInput
from search.device.measure_archs import with_finalists
from search.device.profile import FINALIST, Profile
from search.device.profile_device import profile_device
from search.device.timing import Timing
from tests.search.device.test_profile_device import CountingRuntime
from tests.search.profiles import plain_content, profile_in


@pytest.fixture(scope="module")
def profile(supernet) -> Profile:
    from search.device import Clock

    runtime = CountingRuntime()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("search.device.profile_device.clock_named", lambda name: Clock("wall", lambda: runtime.now))
        return profile_device(supernet, runtime, anchors=10, visits=4, name="bench")


def timing(ms: float) -> Timing:
    return Timing(ms, ms, ms, 0.0, ms, 8)


def test_finalists_move_the_fit_and_keep_the_digest(supernet, profile):
    generator = np.random.default_rng(7)
    known = {anchor.arch for anchor in profile.anchors}
    fresh = [arch for arch in (supernet.space.sample(generator) for _ in range(40)) if arch not in known]
    true = 1.1 * profile.predict_archs(supernet, fresh)
    learned = with_finalists(profile, supernet, [(a, timing(float(ms))) for a, ms in zip(fresh, true, strict=True)])
    assert learned.digest == profile.digest
    assert [anchor.origin for anchor in learned.anchors].count(FINALIST) == len(set(fresh))
    before = np.abs(profile.predict_archs(supernet, fresh) / true - 1).mean()
    after = np.abs(learned.predict_archs(supernet, fresh) / true - 1).mean()
    assert after < 0.5 * before
    again = profile_in(plain_content(learned))
    assert again == learned
    assert again.digest == profile.digest


def test_what_is_an_anchor_already_keeps_its_figure(supernet, profile):
    arch = profile.anchors[0].arch
    assert with_finalists(profile, supernet, [(arch, timing(99.0))]) is profile


def test_another_sample_is_another_profile(profile):
    first, *rest = profile.anchors
    other = replace(profile, anchors=(replace(first, timing=timing(5.0)), *rest))
    assert other.digest != profile.digest


def test_an_unknown_origin_is_refused(profile):
    content = plain_content(profile)
    content["anchors"][0]["origin"] = "guess"
    with pytest.raises(InvalidInput, match=r"'guess' at `anchors\[0\]\.origin`"):
        profile_in(content)


def test_a_scaled_timing_keeps_what_the_clock_said():
    scaled = Timing(1.0, 0.9, 1.1, 0.2, 1.5, 8).scaled(2.0)
    assert scaled == Timing(2.0, 1.8, 2.2, 0.4, 1.5, 8)
