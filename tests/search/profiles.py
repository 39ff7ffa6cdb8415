"""A made-up device's profile."""

from __future__ import annotations

import numpy as np

from ofa.arch import Arch
from search.device.fit import fit_latency_model
from search.device.profile_file import Anchor, Profile
from search.device.timing import Timing


def timing(ms: float) -> Timing:
    return Timing(ms=ms, low_ms=ms, median_ms=ms * 1.1, spread_ms=0.0, raw_ms=ms, visits=20)


def profile(ms_per_mac: float = 4e-8) -> Profile:
    """A device that takes 0.02 ms and so much a multiply-accumulate."""
    macs = np.linspace(1e5, 1e7, 12)
    ms = 0.02 + ms_per_mac * macs
    return Profile(
        device={"name": "bench", "cores": 2},
        runtime={"name": "onnxruntime", "threads": 1},
        protocol={"clock": "wall", "input_shape": [1, 1, 8, 8]},
        space="0123456789abcdef",
        anchors=tuple(
            Anchor(Arch(width={"stem": 8 * (1 + i)}), timing(float(ms[i])), {"macs": float(macs[i])}) for i in range(12)
        ),
        sentinel=timing(0.1),
        model=fit_latency_model({"macs": macs}, ms),
        quality={"verdict": "ok", "disagreement": 0.004},
    )
