"""A profile from Python: of a named device, of a described one and of a runtime that is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import search
from ofa.errors import InvalidInput
from search.config.request import Device, Sampling
from search.device.runtimes import OnnxRuntime, TorchEager
from search.door.inputs import device_of
from tests.search.door.small import DEVICE, PROFILE, supernet


def test_a_profile_predicts_and_says_how_far_off(capsys: pytest.CaptureFixture[str]) -> None:
    net = supernet()
    profile = search.profile(net, DEVICE)
    assert profile.name == "onnxruntime"
    archs = [net.space.smallest, net.space.largest]
    small, large = profile.predict_archs(net, archs)
    assert 0 < small <= large
    assert profile.held_out_error >= 0
    assert "profile: latency model of onnxruntime" in capsys.readouterr().err
    search.profile(net, DEVICE, progress=False)
    assert capsys.readouterr().err == ""


def test_a_run_keeps_a_profile(tmp_path: Path) -> None:
    net = supernet()
    first = search.profile(net, DEVICE, run="mine", outputs=tmp_path)
    again = search.profile(net, DEVICE, run="mine", outputs=tmp_path)
    assert again.digest == first.digest
    assert np.array_equal(again.predict_archs(net, [net.space.largest]), first.predict_archs(net, [net.space.largest]))
    more = {**DEVICE, "profile": {**PROFILE, "anchors": 7}}
    with pytest.raises(InvalidInput, match=r"was made with another configuration \(profile\.anchors"):
        search.profile(net, more, run="mine", outputs=tmp_path)


class Counting:
    """A runtime of a user's, which knows its argument by its name."""

    name = "counting"

    def __init__(self, factor: int = 1, hidden: int = 0) -> None:
        self.factor, self._hidden = factor, hidden

    def load(self, net: nn.Module, example_input: torch.Tensor) -> Callable[[], object]:
        return lambda: [net(example_input) for _ in range(self.factor)]

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "factor": self.factor, "hidden": self._hidden}


def test_a_runtime_is_described_so_that_it_can_be_made_again() -> None:
    assert device_of(OnnxRuntime(threads=2)).runtime == {
        "_target_": "search.device.runtimes.OnnxRuntime",
        "threads": 2,
        "precision": "float32",
        "provider": "CPUExecutionProvider",
    }
    assert device_of(TorchEager()).name == TorchEager().name
    assert device_of(Counting(3)).runtime["factor"] == 3
    with pytest.raises(InvalidInput, match=r"'hidden': 0}, and the one given is .*'hidden': 2}: give it as device="):
        device_of(Counting(3, hidden=2))


def test_names_mappings_and_values_are_one_device() -> None:
    assert device_of("onnxruntime") == Device() == device_of(Device()) == device_of({"name": "onnxruntime"})
    quick = device_of({"name": "eager", "profile": {"anchors": 9}})
    assert quick.runtime == device_of("eager").runtime and quick.profile == Sampling(anchors=9)
    mine = device_of({"name": "mine", "runtime": {"_target_": "search.device.runtimes.OnnxRuntime"}})
    assert mine.name == "mine"


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("eagre", r"device='eagre' is not known; did you mean eager"),
        (
            {"name": "onnxruntime", "profile": {"anchor": 3}},
            r"device\.profile\.anchor is unknown; did you mean anchors",
        ),
        ({"name": "onnxruntime", "profile": {"anchors": 0}}, r"device\.profile\.anchors=0 must be a whole number"),
        ({"name": "a/b", "runtime": {"_target_": "x.Y"}}, r"device\.name='a/b' must be a plain name"),
        ({"name": "a", "runtime": {"_target_": "no_such.Runtime"}}, r"no_such"),
        (OnnxRuntime, r"must be a name"),
        ("pi5", r"device='pi5' is another machine: adopt the supernet"),
    ],
)
def test_unusable_devices_are_refused(device: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        search.profile(supernet(), device)
    assert "\n" not in str(caught.value)


def test_a_plain_network_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"search\.profile takes an ofa\.Supernet, not a Net"):
        search.profile(supernet().model)  # type: ignore[arg-type]
