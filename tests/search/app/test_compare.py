"""`ofa compare` over the searches of two devices: made once, redone when something changed, devices left out aloud."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ofa.errors import InvalidInput
from search.app.main import main
from search.app.messages import explain
from search.config.read import converted
from search.config.request import Device
from search.config.verbs import CompareRequest
from search.device import Runtime
from search.subnets.chosen import ChosenSubnet
from search.subnets.compare_stage import runtime_of, runtime_text, with_largest
from tests.record_files import rewrite
from tests.search.subnets.comparisons import LARGEST, WIDE

EAGER = "search.device.runtimes.TorchEager"
ARGUMENTS = ["compare", "visits=6", "repeats=2", "seconds=2", "comparable=4", "calibration_images=64", "run=tiny"]


def test_runtime_comes_from_the_stamp_or_is_said_to_be_missing() -> None:
    made = runtime_of(Device(runtime={"_target_": EAGER, "threads": 1}), explain)
    assert isinstance(made, Runtime) and made.name == "eager"
    assert runtime_of(Device(remote=True, runtime={"_target_": EAGER}), explain) == "it was measured on another machine"
    missing = runtime_of(Device(runtime={"_target_": "my_package.Phone"}), explain)
    assert isinstance(missing, str) and "my_package.Phone cannot be imported" in missing
    refused = runtime_of(Device(runtime={"_target_": EAGER, "threads": 0}), explain)
    assert isinstance(refused, str) and "threads=0" in refused
    assert "is not a runtime" in str(runtime_of(Device(runtime={"_target_": "builtins.dict"}), explain))


@pytest.mark.parametrize("value", [0.5, 0, True, "much", None, float("nan"), float("inf")])
def test_comparable_is_a_factor(value: Any) -> None:
    assert converted({"comparable": 2}, CompareRequest).comparable == 2.0
    with pytest.raises(InvalidInput, match=r"comparable=.* must be a factor of at least 1"):
        converted({"comparable": value}, CompareRequest)


def test_the_largest_is_there_once() -> None:
    chosen = ChosenSubnet(WIDE)
    assert [one.arch for one in with_largest([chosen], LARGEST)] == [WIDE, LARGEST]
    assert with_largest([chosen], WIDE) == (chosen,)


def test_runtimes_in_words() -> None:
    assert runtime_text({"name": "eager", "version": "2.9", "threads": 1}) == "eager 2.9, 1 thread"
    assert runtime_text({"name": "mine", "threads": 4}) == "mine, 4 threads"
    assert runtime_text({"name": "mine"}) == "mine"


def on(device: str) -> list[str]:
    """Returns the overrides of a device of that name, under eager PyTorch and measured in a moment."""
    runtime = [f"device.name={device}", f"device.runtime._target_={EAGER}"]
    return [*runtime, "device.profile.anchors=8", "device.profile.visits=6", "device.profile.seconds=2"]


def search(device: str, *more: str) -> list[str]:
    """Returns a search of a few evaluations."""
    quick = ["search.evaluations=6", "search.finalists.visits=6", "search.finalists.seconds=1"]
    met = ["latency_ms=1000", f"study={device}"]  # a limit that everything meets
    return ["search", "run=tiny", "search.calibration_images=64", *quick, *met, *on(device), *more]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a run of two devices, each searched and then compared; tests that change it work on a copy."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("compare")
        patch.chdir(place)
        assert main(["train", "experiment=tiny", "train.epochs=1"]) == 0
        for device in ("laptop", "phone"):
            assert main(search(device)) == 0
        assert main(ARGUMENTS) == 0
        yield place


@pytest.fixture
def copy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(folder / "outputs", tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs/tiny"


def content(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "comparison.json").read_text()))


@pytest.mark.slow
def test_every_choice_is_measured_on_both_devices(folder: Path) -> None:
    found = content(folder / "outputs/tiny")
    assert [device["name"] for device in found["devices"]] == ["laptop", "phone"]
    chosen_for = [row for subnet in found["subnets"] for row in subnet["chosen_for"]]
    assert {device for row in chosen_for for device in row["devices"]} == {"laptop", "phone"}
    for subnet in found["subnets"]:
        assert set(subnet["on"]) == {"laptop", "phone"}
        assert all(one["ms"] > 0 for one in subnet["on"].values())
        assert 0 <= subnet["scores"]["test"]["accuracy"]["value"] <= 1
    assert found["subnets"][-1]["on"]["laptop"]["of_largest"] == 1.0
    assert {pair["device"] for pair in found["pairs"]} == {"laptop", "phone"}


@pytest.mark.slow
def test_nothing_changed_nothing_done_and_a_new_search_is_taken_in(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (copy / "comparison.json").read_bytes()
    assert main(ARGUMENTS) == 0
    said = capsys.readouterr()
    assert "comparison.json is there, nothing to do" in said.err
    assert "chosen for" in said.out and content(copy)["finding"] in said.out
    assert (copy / "comparison.json").read_bytes() == before
    assert main(["report", "run=tiny"]) == 0
    assert "Newer searches" not in (copy / "report.html").read_text()
    assert main(search("laptop", "study=again", "latency_ms=2000")) == 0
    assert main(["report", "run=tiny"]) == 0
    assert "Newer searches" in (copy / "report.html").read_text()
    assert main(ARGUMENTS) == 0
    assert "again" in {row["search"] for subnet in content(copy)["subnets"] for row in subnet["chosen_for"]}
    assert sorted(path.name for path in copy.glob("comparison*")) == ["comparison.json", "comparison.stage.json"]


@pytest.mark.slow
def test_a_device_of_another_machine_is_left_out_aloud(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for count, device in enumerate(("phone", "laptop")):
        rewrite(copy / f"profiles/{device}.stage.json", lambda stamp: stamp["config"].update(remote=True))
        code = main([*ARGUMENTS, "force=true"])
        assert f"{device} is left out: it was measured on another machine" in capsys.readouterr().err
        assert code == (0, 2)[count]
    found = content(copy)  # as it was while the laptop could be run
    assert [device["name"] for device in found["devices"]] == ["laptop"]
    assert {pair["device"] for pair in found["pairs"]} == {"laptop"}
