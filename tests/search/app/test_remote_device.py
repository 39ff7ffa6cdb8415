"""A device that is another machine, from the bundle to the search, and everything that can come back wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from search.app.main import main
from search.device import read_profile
from search.run.paths import RunFolder
from search.training.trained import load_trained
from tests.record_files import rewrite
from tests.search.app.another_machine import (
    mixed,
    on_the_device,
    slower_sentinel,
    swapped,
    time_by_macs,
    timed_by_macs,
)
from tests.search.app.remote_run import PI, QUICK, RUN, SEARCH, last_line

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_from_the_bundle_to_a_finished_search(
    remote_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", *PI, *QUICK, "import=device/profile.json"]) == 0
    assert "latency model of pi5" in capsys.readouterr().err
    run = RunFolder(remote_copy / "outputs/tiny")
    supernet = load_trained(run).supernet
    profile = read_profile(run.profile("pi5"), supernet)
    assert profile.predict_archs(supernet, [supernet.space.largest, supernet.space.smallest]).min() > 0
    assert (profile.name, profile.protocol.remote, profile.runtime["threads"]) == ("pi5", True, 1)
    assert len(profile.anchors) == 8
    assert profile.blocks
    assert json.loads((run.profiles / "pi5.stage.json").read_text())["config"]["remote"] is True

    assert main(SEARCH) == 2  # candidates have to be measured first
    line = last_line(capsys)
    bundle = remote_copy / "outputs/tiny/search/pi5-1000ms/to_measure.zip"
    for part in (
        "measured on pi5",
        "copy outputs/tiny/search/pi5-1000ms/to_measure.zip there, unzip to_measure.zip",
        "the same ofa search again",
    ):
        assert part in line
    trials = (bundle.parent / "trials.json").read_text()
    found = on_the_device(bundle, tmp_path / "again")
    time_by_macs(remote_copy, found)
    shutil.copy(found, remote_copy / "odd.json")
    rewrite(remote_copy / "odd.json", slower_sentinel)
    assert main(["profile", *PI, "import=odd.json"]) == 2
    assert "odd.json: the sentinel takes" in last_line(capsys)
    assert main(["profile", *PI, f"import={found}"]) == 0
    assert "added to outputs/tiny/profiles/pi5.json" in last_line(capsys)
    learned = read_profile(run.profile("pi5"), supernet)
    assert learned.digest == profile.digest
    assert {anchor.origin for anchor in learned.anchors} == {"sample", "finalist"}

    assert main(SEARCH) == 0
    assert json.loads((bundle.parent / "trials.json").read_text()) == json.loads(trials)
    (finalist,) = json.loads((bundle.parent / "finalists.json").read_text())["finalists"]
    ms = {anchor.arch.to_json(): anchor.ms for anchor in read_profile(run.profile("pi5"), supernet).anchors}
    chosen = finalist["chosen"]
    assert chosen["measured_ms"] == ms[type(supernet.space.largest).from_dict(chosen["arch"]).to_json()]
    assert chosen["measured_ms"] <= finalist["target"]["latency_ms"]
    assert not bundle.exists()
    assert main(SEARCH) == 0
    assert "nothing to do" in last_line(capsys)


def test_a_measurement_that_is_stopped_goes_on(remote_copy: Path) -> None:
    journal = remote_copy / "device/rounds.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:3]) + lines[3][:50])  # two rounds, and a torn third one
    (remote_copy / "device/profile.json").unlink()
    on_the_device(remote_copy / "pi5.zip", remote_copy / "device")
    gone_on = journal.read_text().splitlines(keepends=True)
    assert gone_on[:3] == lines[:3] and gone_on[3] != lines[3]
    assert len(json.loads((remote_copy / "device/profile.json").read_text())["rounds"]) >= 6
    time_by_macs(remote_copy, remote_copy / "device/profile.json")
    assert main(["profile", *PI, *QUICK, "import=device/profile.json"]) == 0
    for name in os.listdir(remote_copy / "device/networks"):
        (remote_copy / "device/networks" / name).write_bytes(b"damaged")
        break
    code = [sys.executable, "-I", str(remote_copy / "device/measure.py")]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(f"{name} is damaged: unpack the bundle again")


def test_a_network_that_is_1000_times_slower_is_left_out_by_name(
    remote_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(remote_copy / "device/profile.json", remote_copy / "changed.json")

    def change(content: dict[str, Any]) -> None:
        for row in content["rounds"]:
            row[2] = [1000 * value for value in row[2]]

    rewrite(remote_copy / "changed.json", change)
    assert main(["profile", *PI, *QUICK, "import=changed.json"]) == 0
    assert "profile: network 2 left out: it takes " in capsys.readouterr().err
    profile = read_profile(RunFolder(remote_copy / "outputs/tiny").profile("pi5"))
    assert len(profile.anchors) == 7
    assert max(anchor.ms for anchor in profile.anchors) < 10 * min(anchor.ms for anchor in profile.anchors)


def test_swapped_networks_are_left_out_and_another_order_refused(
    remote_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", *PI, *QUICK, f"import={timed_by_macs(remote_copy, swapped)}"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "as if swapped with number" in line]
    assert len(said) == 2
    path = remote_copy / "outputs/tiny/profiles/pi5.json"
    before = path.read_bytes()
    assert main(["profile", *PI, *QUICK, f"import={timed_by_macs(remote_copy, mixed)}", "force=true"]) == 2
    line = last_line(capsys)
    assert "rise with nothing that they compute" in line or "is not plausible" in line
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_machine_with_numpy_and_onnxruntime_alone(
    remote_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv/bin/python")
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-c",
        str(ROOT / "constraints.txt"),
    ]
    subprocess.run([*pip, "numpy", "onnxruntime"], check=True)
    found = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "optuna", "onnx"} & {line.split()[0] for line in found.splitlines()}
    shutil.rmtree(remote_copy / "device")
    first = on_the_device(remote_copy / "pi5.zip", remote_copy / "device", "--pause", "0.01", python=python)
    time_by_macs(remote_copy, first)  # whatever else runs here
    assert main(["profile", *PI, *QUICK, "import=device/profile.json"]) == 0
    assert main(SEARCH) == 2
    bundle = remote_copy / "outputs/tiny/search/pi5-1000ms/to_measure.zip"
    measured = on_the_device(bundle, tmp_path / "device", "--seconds", "2", python=python)
    time_by_macs(remote_copy, measured)
    assert main(["profile", *PI, f"import={measured}"]) == 0
    assert main(SEARCH) == 0
    assert main(["extract", RUN, "export.calibration_images=64"]) == 0
    assert list((remote_copy / "outputs/tiny/subnets").glob("pi5-1000ms/model.onnx"))
