"""A profile whose measuring is cut off: what is there counts, and the profile is the one that would have come."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from msgspec import structs
from torch import nn

from ofa.errors import InvalidInput
from search.device import Clock, Profile
from search.device.measuring import MeasureStep
from search.device.profile_device import profile_device
from tests.record_files import content_of
from tests.search.profiles import plain_content, profile_in


class Device:
    """A runtime whose runs move its own clock, and which can be stopped after some of them."""

    name = "made-up"

    def __init__(self, version: str = "1", runs: int = 10**9) -> None:
        self.now, self.version, self.left = 0.0, version, runs

    def load(self, net: nn.Module, example_input: torch.Tensor):
        # In binary fractions, so that a clock's readings do not depend on when they are taken.
        took = 2**-13 + 2**-30 * sum(parameter.numel() for parameter in net.parameters())

        def run() -> None:
            self.now += took
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

        return run

    def describe(self):
        return {"name": self.name, "version": self.version}


@pytest.fixture
def profiled(monkeypatch, supernet, tmp_path):
    def made(device: Device, name: str = "bench", progress=None, **options) -> Profile:
        monkeypatch.setattr("search.device.profile_device.clock_named", lambda name: Clock("wall", lambda: device.now))
        asked = {"anchors": 8, "blocks": 4, "alignment": False, "visits": 12, "repeats": 2, **options}
        return profile_device(
            supernet, device, path=tmp_path / f"{name}.json", name="bench", progress=progress, seconds=1e9, **asked
        )

    return made


def without_time(profile: Profile) -> dict:
    """The profile without what the process's own clock and the calendar say."""
    content = plain_content(profile)
    for timing in [*content["anchors"], *content["blocks"], content["sentinel"]]:
        timing.pop("cpu_ms")
    return {**content, "protocol": {**content["protocol"], "date_utc": "", "seconds": 0}}


def journal(tmp_path: Path, name: str = "bench") -> Path:
    return tmp_path / f"{name}.json.rounds.jsonl"


def stopped(profiled, tmp_path: Path) -> int:
    """Cuts a measurement off in the middle; returns how many rounds there are."""
    with pytest.raises(KeyboardInterrupt):
        profiled(Device(runs=400))
    assert not (tmp_path / "bench.json").exists()
    return len(journal(tmp_path).read_text().splitlines()) - 1


def test_it_goes_on_and_ends_as_if_nothing_had_been(profiled, tmp_path):
    whole = profiled(Device(), "whole")
    assert not journal(tmp_path, "whole").exists()
    rounds = stopped(profiled, tmp_path)
    assert 2 < rounds < 10
    rows: list[MeasureStep] = []
    assert without_time(profiled(Device(), progress=rows.append)) == without_time(whole)
    assert [row.done for row in rows if row.stage == "measure"] == list(range(rounds + 1, 13))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "whole.json"]


@pytest.mark.parametrize(
    ("device", "options"),
    [(Device("2"), {}), (Device(), {"repeats": 3}), (Device(), {"anchors": 9}), (Device(), {"blocks": 0})],
)
def test_rounds_of_another_measurement_do_not_count(profiled, tmp_path, device, options):
    stopped(profiled, tmp_path)
    rows: list[MeasureStep] = []
    profiled(device, progress=rows.append, **options)
    assert next(row.done for row in rows if row.stage == "measure") == 1


def test_more_rounds_may_be_asked_of_what_was_cut_off(profiled, tmp_path):
    rounds = stopped(profiled, tmp_path)
    rows: list[MeasureStep] = []
    profile = profiled(Device(), progress=rows.append, visits=16)
    assert next(row.done for row in rows if row.stage == "measure") == rounds + 1
    assert profile.sentinel.visits == 16


@pytest.mark.parametrize(("clock", "cure"), [("wall", "clock=cpu"), ("cpu", "seconds=120")])
def test_what_is_rejected_is_not_gone_on_with(profiled, tmp_path, monkeypatch, clock: str, cure: str):
    real = profile_device.__globals__["measure"]
    monkeypatch.setattr(
        "search.device.profile_device.measure",
        lambda *given, **named: replace(real(*given, **named), disagreement=1, clock=clock),
    )
    with pytest.raises(InvalidInput, match=rf"the measurement is rejected.*: device\.profile\.{cure}$"):
        profiled(Device())
    assert list(tmp_path.iterdir()) == []


def test_a_busy_minute_is_measured_again(profiled, tmp_path, monkeypatch, capsys):
    reference = profiled(Device(), "reference")
    real, verdicts = profile_device.__globals__["measure"], [0.5, 0.2, 0.0]
    monkeypatch.setattr(
        "search.device.profile_device.measure",
        lambda *given, **named: replace(real(*given, **named), disagreement=verdicts.pop(0)),
    )
    again = profiled(Device())
    assert [anchor.ms for anchor in again.anchors] == [anchor.ms for anchor in reference.anchors]
    assert verdicts == [] and {path.name for path in tmp_path.iterdir()} == {"bench.json", "reference.json"}
    said = capsys.readouterr().err.splitlines()
    assert [line.split("; ")[-1] for line in said] == ["measuring again (2 of 3)", "measuring again (3 of 3)"]
    assert "disagree by 50%, and 15% is the most" in said[0]


def test_a_profile_may_have_no_time_by_the_clock_of_the_process(profiled, tmp_path, supernet):
    profile = profiled(Device())
    assert all(anchor.timing.cpu_ms for anchor in profile.anchors)
    content = content_of(tmp_path / "bench.json")
    for timing in [*content["anchors"], *content["blocks"], content["sentinel"]]:
        del timing["cpu_ms"]
    old = profile_in(content)
    assert old.anchors[0].timing == structs.replace(profile.anchors[0].timing, cpu_ms=None)
    assert plain_content(old) == content
    content["sentinel"]["cpu_ms"] = -1
    with pytest.raises(InvalidInput, match=r"at `sentinel\.cpu_ms`"):
        profile_in(content)
