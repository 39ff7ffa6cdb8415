"""A run with a bundle for another machine, and what was measured there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from search.app.main import main
from tests.search.app.another_machine import on_the_device, time_by_macs
from tests.search.steady_device import steady_device

RUN = "run=tiny"
PI = ["device=pi5", RUN]
QUICK = ["device.profile.anchors=8", "device.profile.visits=6", "device.profile.repeats=2", "device.profile.seconds=2"]
QUICK += ["device.profile.blocks=6", "device.profile.clock=cpu"]  # which does not mind what else runs here
# A limit that everything meets: how quick this machine is does not matter.
SEARCH = ["search", *PI, "search.evaluations=8", "search.calibration_images=64", "latency_ms=1000"]
SEARCH += ["search.finalists.visits=6", "search.finalists.repeats=2", "search.finalists.seconds=1"]


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


@pytest.fixture(scope="session")
def remote_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with a supernet, a bundle, and what was measured of it in device/."""
    with pytest.MonkeyPatch.context() as patch, steady_device():
        place = tmp_path_factory.mktemp("remote")
        patch.chdir(place)
        data = ["data.dataset.samples=160", "train.calibration_images=64"]
        assert main(["train", "experiment=tiny", "train.epochs=1", "train.validate_every=0", *data]) == 0
        assert main(["profile", *PI, *QUICK, "bundle=pi5.zip"]) == 0
        on_the_device(place / "pi5.zip", place / "device")
        time_by_macs(place, place / "device/profile.json")  # whatever else runs here
        return place


@pytest.fixture
def remote_copy(remote_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a copy, in which the test runs."""
    shutil.copytree(remote_run, tmp_path / "here", ignore=shutil.ignore_patterns("networks"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"
