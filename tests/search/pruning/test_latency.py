"""A device's profile as the budget of channels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import ofa
from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.models import ResNet
from ofa.prune import OneShot, Pruner
from ofa.prune.allocation import budget
from ofa.prune.criteria import magnitude, normalised
from ofa.prune.granularity import channel
from ofa.prune.granularity.channel import every_width
from search.device.fit import fit_latency_model
from search.device.profile_file import Anchor, Profile
from search.device.timing import Timing
from search.pruning.latency import latency_of


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


def test_half_of_the_milliseconds_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_profile(tmp_path / "bench.json")
    torch.manual_seed(0)
    model, example = ResNet((3, 8, 8), 4, depth=8), torch.zeros(2, 3, 8, 8)
    latency = latency_of(str(tmp_path / "bench.json"))
    assert "% off on networks held out" in capsys.readouterr().err
    pruner = Pruner(
        model,
        schedule=OneShot(0.5),
        granularity=partial(channel, multiple_of=4, latency=latency),
        allocation=partial(budget, metric="latency_ms"),
        criterion=normalised(magnitude),
        example_input=example,
    )
    slim, _ = pruner.slim()
    macs = [
        ofa.cost(s, [s.space.largest])["macs"][0] for s in (every_width(model, example), every_width(slim, example))
    ]
    before, after = (0.02 + 1e-6 * float(count) for count in macs)
    assert 0.4 * before < after <= 0.5 * before * (1 + 1e-6)


def test_a_profile_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.json"):
        latency_of(str(tmp_path / "none.json"))
