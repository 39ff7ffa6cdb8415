"""The widths that a made-up runtime likes, from the probes to the profile's file."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from ofa.errors import InvalidInput
from search.device import Clock, Profile, read_profile
from search.device.profile_device import profile_device
from tests.record_files import rewrite
from tests.search.profiles import plain_content


class PickyRuntime:
    """A device that is three times as slow where the widest depthwise layer is no multiple of `multiple`.

    It pads weights of that layer to steps of 16, and refuses the width `refused`.
    """

    name = "picky"

    def __init__(self, multiple: int, refused: int = 0) -> None:
        self.now, self.multiple, self.refused = 0.0, multiple, refused

    def load(self, net: nn.Module, example_input: torch.Tensor):
        widths = [layer.groups for layer in net.modules() if isinstance(layer, nn.Conv2d) and layer.groups > 1]
        took = 1e-4 + 1e-9 * sum(parameter.numel() for parameter in net.parameters())
        if example_input.shape[1] == 32 and widths:
            if self.refused in widths:
                raise InvalidInput("this width cannot be")
            width = max(widths)
            took = 1e-5 * math.ceil(width / 16) * (3 if width % self.multiple else 1)

        def run() -> object:
            self.now += took
            return None

        return run

    def describe(self):
        return {"name": self.name}


@pytest.fixture
def profiled(monkeypatch, supernet):
    def made(runtime: PickyRuntime, path: Path | None = None, **options) -> Profile:
        monkeypatch.setattr("search.device.profile_device.clock_named", lambda name: Clock("wall", lambda: runtime.now))
        return profile_device(supernet, runtime, path=path, anchors=8, visits=4, name="bench", **options)

    return made


@pytest.mark.parametrize("multiple", [1, 4, 8])
def test_what_the_runtime_likes_is_in_the_profile(tmp_path: Path, supernet, profiled, multiple: int):
    path = tmp_path / "bench.json"
    profile = profiled(PickyRuntime(multiple), path)
    assert (profile.alignment.needed, profile.alignment.stairs) == (multiple, 16)
    assert read_profile(path, supernet) == profile
    assert read_profile(path).digest == profile.digest


def test_probes_change_nothing_else(profiled):
    with_probes, without = profiled(PickyRuntime(4)), profiled(PickyRuntime(4), alignment=False)
    assert without.alignment is None
    assert "alignment" not in plain_content(without)
    assert [block.key for block in with_probes.blocks] == [block.key for block in without.blocks]
    assert with_probes.blocks and with_probes.blocks[0].ms == pytest.approx(without.blocks[0].ms)
    assert with_probes.digest != without.digest  # a search follows the advice


def test_a_refused_probe_means_no_advice(profiled):
    profile = profiled(PickyRuntime(4, refused=97))
    assert profile.alignment is None
    assert profile.blocks


def test_a_file_from_before_is_read_and_a_wrong_one_is_named(tmp_path: Path, profiled):
    path = tmp_path / "bench.json"
    profiled(PickyRuntime(4), path)
    rewrite(path, lambda content: content["alignment"].update(needed=7))
    with pytest.raises(InvalidInput, match=r"bench\.json .*alignment.*needed"):
        read_profile(path)
    rewrite(path, lambda content: content.pop("alignment"))
    assert read_profile(path).alignment is None
