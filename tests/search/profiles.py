"""A made-up device's profile, as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ofa.arch import Arch
from search.device.fit import fit_latency_model
from search.device.profile_file import Anchor, Profile
from search.device.timing import Timing


def write_profile(path: Path) -> None:
    """A device that takes 0.02 ms and 1 ns a multiply-accumulate."""
    macs = np.linspace(1e5, 1e7, 12)
    ms = 0.02 + 1e-6 * macs

    def timing(value: float) -> Timing:
        return Timing(ms=value, low_ms=value, median_ms=value, spread_ms=0.0, raw_ms=value, visits=20)

    Profile(
        device={"name": "bench", "cores": 2},
        runtime={"name": "onnxruntime", "threads": 1},
        protocol={"clock": "wall", "input_shape": [1, 3, 8, 8]},
        space="0123456789abcdef",
        anchors=tuple(
            Anchor(Arch(width={"stem": 8 * (1 + i)}), timing(float(ms[i])), {"macs": float(macs[i])}) for i in range(12)
        ),
        sentinel=timing(0.1),
        model=fit_latency_model({"macs": macs}, ms),
        quality={"verdict": "ok", "disagreement": 0.004},
    ).write(path)
