"""A made-up device's profile."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ofa.arch import Arch
from ofa.records import content_of, convert
from search.device.latency.fit import fit_latency_model
from search.device.profile import Anchor, Profile
from search.device.profile_record import DeviceFacts, ProfileRecord, ProtocolFacts, QualityFacts
from search.device.timing import Timing


def timing(ms: float) -> Timing:
    return Timing(ms=ms, low_ms=ms, median_ms=ms * 1.1, spread_ms=0.0, raw_ms=ms, visits=20)


def profile(ms_per_mac: float = 4e-8) -> Profile:
    """A device that takes 0.02 ms and so much a multiply-accumulate."""
    macs = np.linspace(1e5, 1e7, 12)
    ms = 0.02 + ms_per_mac * macs
    return Profile(
        device=DeviceFacts(name="bench", cores=2),
        runtime={"name": "onnxruntime", "threads": 1},
        protocol=ProtocolFacts(
            clock="wall",
            warm_runs=3,
            repeats=8,
            visits=20,
            visit="fastest run",
            quantile=0.25,
            interleaved=True,
            input_shape=(1, 1, 8, 8),
            sentinel="convolutions",
            seconds=1.0,
            versions={},
            date_utc="2026-01-01T00:00:00+00:00",
            seed=0,
        ),
        space="0123456789abcdef",
        anchors=tuple(
            Anchor(Arch(width={"stem": 8 * (1 + i)}), timing(float(ms[i])), {"macs": float(macs[i])}) for i in range(12)
        ),
        sentinel=timing(0.1),
        model=fit_latency_model({"macs": macs}, ms),
        quality=QualityFacts(verdict="ok", disagreement=0.004, drift=0.0, better_than_macs=False),
    )


def profile_in(content: Any) -> Profile:
    """Returns the profile that the content of a file is."""
    return Profile.of(convert(content, ProfileRecord, "profile"))


def plain_content(profile: Profile) -> Any:
    """Returns the content of the profile's file as JSON has it."""
    return json.loads(json.dumps(content_of(profile.record)))
