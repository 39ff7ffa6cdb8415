"""A device's profile as the budget of channels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

import ofa
from ofa.errors import InvalidInput
from ofa.models import ResNet
from ofa.prune import OneShot, Pruner
from ofa.prune.allocation import budget
from ofa.prune.criteria import magnitude, normalized
from ofa.prune.granularity import channel
from ofa.prune.granularity._channel import every_width
from search.pruning.recipe import latency_of
from tests.search.profiles import profile


def test_half_of_the_milliseconds_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile(1e-6).write(tmp_path / "bench.json")
    torch.manual_seed(0)
    model, example = ResNet((3, 8, 8), 4, depth=8), torch.zeros(2, 3, 8, 8)
    latency = latency_of(str(tmp_path / "bench.json"))
    assert "% off on networks held out" in capsys.readouterr().err
    pruner = Pruner(
        model,
        schedule=OneShot(0.5),
        granularity=partial(channel, multiple_of=4, latency=latency),
        allocation=partial(budget, metric="latency_ms"),
        criterion=normalized(magnitude),
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
