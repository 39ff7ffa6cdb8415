"""A device that is another machine, from the bundle to the search, and everything that can come back wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
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
    rewritten,
    slower_sentinel,
    swapped,
    time_by_macs,
    timed_by_macs,
)

ROOT = Path(__file__).parents[3]
RUN = "run=tiny"
PI = ["device=pi5", RUN]
QUICK = ["device.profile.anchors=8", "device.profile.visits=6", "device.profile.repeats=2", "device.profile.seconds=2"]
QUICK += ["device.profile.blocks=6", "device.profile.clock=cpu"]  # which does not mind what else runs here
# A limit that everything meets: how quick this machine is does not matter.
SEARCH = ["search", *PI, "search.evaluations=8", "search.calibration_images=64", "latency_ms=1000"]
SEARCH += ["search.finalists.visits=6", "search.finalists.repeats=2", "search.finalists.seconds=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a supernet, a bundle, and what was measured of it in device/."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("remote")
        patch.chdir(place)
        data = ["data.dataset.samples=160", "train.calibration_images=64"]
        assert main(["train", "experiment=tiny", "train.epochs=1", "train.validate_every=0", *data]) == 0
        assert main(["profile", *PI, *QUICK, "bundle=pi5.zip"]) == 0
        on_the_device(place / "pi5.zip", place / "device")
        time_by_macs(place, place / "device/profile.json")  # whatever else runs here
        yield place


@pytest.fixture
def copy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(folder, tmp_path / "here", ignore=shutil.ignore_patterns("networks"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_from_the_bundle_to_a_finished_search(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *PI, *QUICK, "import=device/profile.json"]) == 0
    assert "latency model of pi5" in capsys.readouterr().err
    run = RunFolder(copy / "outputs/tiny")
    supernet = load_trained(run).supernet
    profile = read_profile(run.profile("pi5"), supernet)
    assert profile.predict_archs(supernet, [supernet.space.largest, supernet.space.smallest]).min() > 0
    assert (profile.name, profile.protocol.remote, profile.runtime["threads"]) == ("pi5", True, 1)
    assert len(profile.anchors) == 8
    assert profile.blocks
    assert json.loads((run.profiles / "pi5.stage.json").read_text())["config"]["remote"] is True

    assert main(SEARCH) == 2  # candidates have to be measured first
    line = last_line(capsys)
    bundle = copy / "outputs/tiny/search/pi5-1000ms/to_measure.zip"
    for part in (
        "measured on pi5",
        "copy outputs/tiny/search/pi5-1000ms/to_measure.zip there, unzip to_measure.zip",
        "the same ofa search again",
    ):
        assert part in line
    trials = (bundle.parent / "trials.json").read_text()
    found = on_the_device(bundle, tmp_path / "again")
    time_by_macs(copy, found)
    shutil.copy(found, copy / "odd.json")
    rewrite(copy / "odd.json", slower_sentinel)
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


def test_a_measurement_that_is_stopped_goes_on(copy: Path) -> None:
    journal = copy / "device/rounds.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:3]) + lines[3][:50])  # two rounds, and a torn third one
    (copy / "device/profile.json").unlink()
    on_the_device(copy / "pi5.zip", copy / "device")
    gone_on = journal.read_text().splitlines(keepends=True)
    assert gone_on[:3] == lines[:3] and gone_on[3] != lines[3]
    assert len(json.loads((copy / "device/profile.json").read_text())["rounds"]) >= 6
    time_by_macs(copy, copy / "device/profile.json")
    assert main(["profile", *PI, *QUICK, "import=device/profile.json"]) == 0
    for name in os.listdir(copy / "device/networks"):
        (copy / "device/networks" / name).write_bytes(b"damaged")
        break
    code = [sys.executable, "-I", str(copy / "device/measure.py")]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(f"{name} is damaged: unpack the bundle again")


BAD = [
    ({}, ["device.runtime.threads=2"], "device.runtime.threads=1, and device.runtime.threads is 2 now"),
    ({}, ["device.name=other"], "changed.json is of device=pi5, not of device=other"),
    ({"bundle": "0" * 16}, [], "is of bundle 0000000000000000, which run=tiny did not write; write a bundle"),
    ({"rounds": []}, [], "holds 0 rounds, and it takes 6: run python3 measure.py again"),
    ({"runtime": {}}, [], "is not the one of its bundle"),
    ({"machine": 1}, [], "at `machine`"),
    ({"seconds": -1}, [], "expected `float` > 0.0 at `seconds`"),
    ({"kind": "other"}, [], "changed.json is of kind 'other', and a 'measurement' is wanted"),
]


@pytest.mark.parametrize(("fields", "overrides", "message"), BAD, ids=[message for *_, message in BAD])
def test_what_cannot_be_taken_is_refused_in_a_line_and_nothing_is_lost(
    fields: dict[str, Any],
    overrides: list[str],
    message: str,
    copy: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = rewritten(copy, **fields)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert main(["profile", *PI, *QUICK, f"import={name}", *overrides]) == 2
    line = last_line(capsys)
    assert message in line
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_network_that_is_1000_times_slower_is_left_out_by_name(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(copy / "device/profile.json", copy / "changed.json")

    def change(content: dict[str, Any]) -> None:
        for row in content["rounds"]:
            row[2] = [1000 * value for value in row[2]]

    rewrite(copy / "changed.json", change)
    assert main(["profile", *PI, *QUICK, "import=changed.json"]) == 0
    assert "profile: network 2 left out: it takes " in capsys.readouterr().err
    profile = read_profile(RunFolder(copy / "outputs/tiny").profile("pi5"))
    assert len(profile.anchors) == 7
    assert max(anchor.ms for anchor in profile.anchors) < 10 * min(anchor.ms for anchor in profile.anchors)


def test_swapped_networks_are_left_out_and_another_order_refused(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", *PI, *QUICK, f"import={timed_by_macs(copy, swapped)}"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "as if swapped with number" in line]
    assert len(said) == 2
    path = copy / "outputs/tiny/profiles/pi5.json"
    before = path.read_bytes()
    assert main(["profile", *PI, *QUICK, f"import={timed_by_macs(copy, mixed)}", "force=true"]) == 2
    line = last_line(capsys)
    assert "rise with nothing that they compute" in line or "is not plausible" in line
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_damaged_manifest_and_another_space_are_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["profile", *PI, *QUICK, "import=device/profile.json"]
    (kept,) = (copy / "outputs/tiny/profiles/bundles").iterdir()
    whole = kept.read_text()
    for damaged, said in ((whole[:-100], "is damaged"), (whole.replace('"pi5"', '"pi6"', 1), "was edited")):
        kept.write_text(damaged)
        assert main(command) == 2
        assert f"{kept.name} {said}" in last_line(capsys)
    kept.write_text(whole)
    other = ["train", "experiment=tiny", "run=other", "model.widths=[16,16,16]", "train.epochs=1"]
    assert main([*other, "data.dataset.samples=160", "train.validate_every=0"]) == 0
    shutil.rmtree(copy / "outputs/tiny/supernet")
    shutil.copytree(copy / "outputs/other/supernet", copy / "outputs/tiny/supernet")
    capsys.readouterr()
    assert main(command) == 2
    assert "device/profile.json is of another space" in last_line(capsys)


def test_a_profile_that_is_there_is_kept_unless_forced(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["profile", *PI, *QUICK, "import=device/profile.json"]
    assert main(command) == 0
    path = copy / "outputs/tiny/profiles/pi5.json"
    before = path.read_bytes()
    assert main(command) == 0
    assert "nothing to do (force=true takes device/profile.json in its place)" in last_line(capsys)
    assert main(["profile", *PI, *QUICK]) == 0
    assert "nothing to do" in last_line(capsys)
    assert path.read_bytes() == before
    assert main([*command, "force=true"]) == 0
    assert "latency model of pi5" in capsys.readouterr().err
    assert sorted(file.name for file in path.parent.iterdir()) == ["bundles", "pi5.json", "pi5.stage.json"]


SAID = [
    (
        PI,
        "ofa profile device=pi5 run=tiny bundle=pi5.zip writes what to run there, and ofa profile device=pi5 run=tiny",
    ),
    ([*PI, "bundle=a.zip", "import=b.json"], "bundle and import are two steps: give one of them"),
    ([RUN, "device=eager", "bundle=a.zip"], "runtime eager cannot be taken to another machine; those that can:"),
    ([RUN, "device=onnxruntime", "bundle=a.zip"], "device=onnxruntime is this machine, which ofa profile measures"),
    ([*PI, "bundle=outputs"], "outputs is there and is no zip"),
    ([*PI, "import=missing.json"], "missing.json is no file: import=missing.json takes the profile.json"),
    ([*PI, "import=pi5.zip"], "pi5.zip is damaged"),
    ([*PI, "device.remote=far"], "device.remote='far' must be true or false"),
    ([*PI, "bundle=a.zip", "device.profile.visits=2"], "visits=2 must be at least 4"),
    ([*PI, "bundle=a.zip", "device.profile.anchors=3"], "anchors=3 must be at least 6"),
    ([*PI, "bundle=a.zip", "device.profile.clock=sun"], "clock='sun' is not a clock"),
]


@pytest.mark.parametrize(("arguments", "message"), SAID, ids=[message for _, message in SAID])
def test_one_clear_line_and_nothing_written(
    arguments: list[str], message: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(copy.rglob("*"))
    assert main(["profile", *arguments]) == 2
    line = last_line(capsys)
    assert message in line
    assert sorted(copy.rglob("*")) == before


def test_a_search_on_a_device_without_a_profile_says_how_to_get_one(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(SEARCH) == 2
    assert "device=pi5 is another machine: ofa profile device=pi5" in last_line(capsys)


def test_a_bundle_for_a_provider_that_is_not_here(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["device.profile.anchors=6", "device.profile.blocks=0", "device.profile.alignment=false"]
    assert main(["profile", RUN, "device=jetson", *quick, "bundle=jetson.zip"]) == 0
    with zipfile.ZipFile(copy / "jetson.zip") as bundle:
        manifest = json.loads(bundle.read("manifest.json"))
    assert manifest["options"]["provider"] == "CUDAExecutionProvider"


@pytest.mark.slow
def test_a_machine_with_numpy_and_onnxruntime_alone(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    shutil.rmtree(copy / "device")
    assert on_the_device(copy / "pi5.zip", copy / "device", "--pause", "0.01", python=python)
    assert main(["profile", *PI, *QUICK, "import=device/profile.json"]) == 0
    assert main(SEARCH) == 2
    bundle = copy / "outputs/tiny/search/pi5-1000ms/to_measure.zip"
    measured = on_the_device(bundle, tmp_path / "device", "--seconds", "2", python=python)
    assert main(["profile", *PI, f"import={measured}"]) == 0
    assert main(SEARCH) == 0
    assert main(["extract", RUN, "export.calibration_images=64"]) == 0
    assert list((copy / "outputs/tiny/subnets").glob("pi5-1000ms/model.onnx"))
