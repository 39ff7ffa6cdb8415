"""What cannot be taken from another machine, or to it, is refused in a line and nothing is lost."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from search.app.main import main
from tests.search.app.another_machine import (
    rewritten,
)
from tests.search.app.remote_run import PI, QUICK, RUN, SEARCH, last_line

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
    remote_copy: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = rewritten(remote_copy, **fields)
    before = {path: path.read_bytes() for path in remote_copy.rglob("*") if path.is_file()}
    assert main(["profile", *PI, *QUICK, f"import={name}", *overrides]) == 2
    line = last_line(capsys)
    assert message in line
    assert {path: path.read_bytes() for path in remote_copy.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_a_damaged_manifest_and_another_space_are_named(remote_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["profile", *PI, *QUICK, "import=device/profile.json"]
    (kept,) = (remote_copy / "outputs/tiny/profiles/bundles").iterdir()
    whole = kept.read_text()
    for damaged, said in ((whole[:-100], "is damaged"), (whole.replace('"pi5"', '"pi6"', 1), "was edited")):
        kept.write_text(damaged)
        assert main(command) == 2
        assert f"{kept.name} {said}" in last_line(capsys)
    kept.write_text(whole)
    other = ["train", "experiment=tiny", "run=other", "model.widths=[16,16,16]", "train.epochs=1"]
    assert main([*other, "data.dataset.samples=160", "train.validate_every=0"]) == 0
    shutil.rmtree(remote_copy / "outputs/tiny/supernet")
    shutil.copytree(remote_copy / "outputs/other/supernet", remote_copy / "outputs/tiny/supernet")
    capsys.readouterr()
    assert main(command) == 2
    assert "device/profile.json is of another space" in last_line(capsys)


def test_a_profile_that_is_there_is_kept_unless_forced(remote_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["profile", *PI, *QUICK, "import=device/profile.json"]
    assert main(command) == 0
    path = remote_copy / "outputs/tiny/profiles/pi5.json"
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
    ([*PI, "bundle=a.zip", "device.profile.visits=2"], "visits=2 must be a whole number, at least 4"),
    ([*PI, "bundle=a.zip", "device.profile.anchors=3"], "anchors=3 must be a whole number, at least 6"),
    ([*PI, "bundle=a.zip", "device.profile.clock=sun"], "clock='sun' is not a clock"),
]


@pytest.mark.parametrize(("arguments", "message"), SAID, ids=[message for _, message in SAID])
def test_one_clear_line_and_nothing_written(
    arguments: list[str], message: str, remote_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(remote_copy.rglob("*"))
    assert main(["profile", *arguments]) == 2
    line = last_line(capsys)
    assert message in line
    assert sorted(remote_copy.rglob("*")) == before


def test_a_search_on_a_device_without_a_profile_says_how_to_get_one(
    remote_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(SEARCH) == 2
    assert "device=pi5 is another machine: ofa profile device=pi5" in last_line(capsys)


def test_a_bundle_for_a_provider_that_is_not_here(remote_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["device.profile.anchors=6", "device.profile.blocks=0", "device.profile.alignment=false"]
    assert main(["profile", RUN, "device=jetson", *quick, "bundle=jetson.zip"]) == 0
    with zipfile.ZipFile(remote_copy / "jetson.zip") as bundle:
        manifest = json.loads(bundle.read("manifest.json"))
    assert manifest["options"]["provider"] == "CUDAExecutionProvider"
