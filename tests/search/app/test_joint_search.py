"""Limits on several devices and of several figures at once, from the command to the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.app.main import main
from tests.search.simulated_clock import simulated_clock

pytestmark = pytest.mark.slow

# Two devices that keep time exactly: one is slow to start, the other goes by the parameters.
RUNTIMES = """
from tests.search.simulated_clock import run_of

class Waits:
    name = "waits"

    def __init__(self, start, per_parameter):
        self.start, self.per_parameter = start, per_parameter

    def load(self, net, example_input):
        return run_of(self.start + self.per_parameter * sum(each.numel() for each in net.parameters()))

    def describe(self):
        return {"name": "waits", "threads": 1}
"""
DEVICE = """
name: {name}
runtime: {{_target_: runtimes_of_mine.Waits, start: {start}, per_parameter: {per_parameter}}}
profile: {{anchors: 10, visits: 6, repeats: 4, seconds: 2.0, clock: wall}}
"""
CONF = ["--config-dir", "my_conf"]
QUICK = ["run=tiny", "trust=[runtimes_of_mine]", "search.evaluations=10", "search.calibration_images=64"]
QUICK += ["search.finalists.seconds=1", "search.finalists.visits=6", "search.finalists.repeats=2"]
# From the smallest to the largest subnet: 62 to 165 us, and 127 to 333 us.
BOTH = "latency_ms={gentle: 0.12, steep: 0.3}"
NAME = "gentle-0.12ms+steep-0.3ms"
PAIR = ("latency_ms@gentle", "latency_ms@steep")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a supernet and two profiles."""
    with pytest.MonkeyPatch.context() as patch, simulated_clock():
        place = tmp_path_factory.mktemp("joint")
        patch.chdir(place)
        patch.syspath_prepend(place)
        (place / "runtimes_of_mine.py").write_text(RUNTIMES)
        (place / "my_conf/device").mkdir(parents=True)
        for name, start, per_parameter in (("gentle", 43, 0.005), ("steep", 89, 0.01)):
            text = DEVICE.format(name=name, start=start, per_parameter=per_parameter)
            (place / f"my_conf/device/{name}.yaml").write_text(text)
        assert main(["train", "experiment=tiny", "train.epochs=1"]) == 0
        for name in ("gentle", "steep"):
            assert main(["profile", "run=tiny", f"device={name}", *CONF]) == 0
        yield place


@pytest.fixture
def copy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("outputs", "my_conf"):
        shutil.copytree(folder / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(folder)
    return tmp_path / "outputs/tiny"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_one_subnet_meets_all_limits_everywhere(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", *QUICK, BOTH, "search.limits={params: 1.6e4, peak_activation_bytes: 1.2e4}"]) == 0
    found = read(copy / f"search/{NAME}/finalists.json")
    assert found["devices"] == dict(zip(PAIR, ("gentle", "steep"), strict=True))
    assert set(found["margin"]) == set(PAIR)  # each profile's own error
    (finalist,) = found["finalists"]
    chosen = finalist["chosen"]
    for name, limit in (("latency_ms@gentle", 0.12), ("latency_ms@steep", 0.3)):
        assert finalist["target"][name] == limit
        assert chosen["measured"][name] <= limit
        assert chosen["predicted"][name] <= limit * (1 - found["margin"][name])
    assert (chosen["measured_ms"], chosen["predicted_ms"]) == tuple(
        chosen[kind]["latency_ms@gentle"] for kind in ("measured", "predicted")
    )
    assert chosen["figures"]["params"] <= 1.6e4
    assert chosen["figures"]["peak_activation_bytes"] <= 1.2e4
    for row in read(copy / f"search/{NAME}/trials.json")["rows"]:
        # the devices really differ, and nothing over was evaluated
        figures = row["figures"]
        assert figures["latency_ms@steep"] > 1.5 * figures["latency_ms@gentle"]
        assert (row["state"] == "infeasible") or figures["params"] <= 1.6e4
    assert main(["extract", "run=tiny", f"study={NAME}", "export.calibration_images=64"]) == 0
    card = read(copy / f"subnets/{NAME}/card.json")
    assert card["limits"] == finalist["target"]
    assert (card["device"], card["devices"], card["limit_ms"]) == ("gentle", ["gentle", "steep"], 0.12)
    assert (card["predicted"], card["measured"]) == (chosen["predicted"], chosen["measured"])
    assert card["peak_activation_bytes"] == chosen["figures"]["peak_activation_bytes"]
    assert main(["report", "run=tiny"]) == 0
    page = (copy / "report.html").read_text()
    assert "measured on steep" in page
    assert "16.0 k params, 12.0 kB of activations" in page
    assert "for gentle and steep" in page
    capsys.readouterr()
    assert main(["search", *QUICK, BOTH]) == 2  # without the other limits it is another search
    assert "params=16000.0 there, absent now" in capsys.readouterr().err
    assert main(["extract", "run=tiny", f"study={NAME}", "trial=0", "export.calibration_images=64"]) == 0
    assert set(read(copy / f"subnets/{NAME}-trial-0/card.json")["predicted"]) == set(PAIR)


def test_a_device_that_was_not_profiled_is_named_and_the_own_one_is_profiled(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in copy.glob("profiles/steep*"):
        path.unlink()
    assert main(["search", *QUICK, BOTH, "device=gentle", *CONF]) == 2
    assert "run ofa profile device=steep run=tiny first" in capsys.readouterr().err
    assert main(["search", *QUICK, BOTH, "device=steep", "search.evaluations=2", *CONF]) == 0
    assert (copy / "profiles/steep.json").is_file()


def test_a_limit_on_one_of_the_devices_that_cannot_be_met(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", *QUICK, "latency_ms={gentle: 0.12, steep: 0.01}"]) == 2
    (*_, line) = capsys.readouterr().err.splitlines()
    assert "latency_ms@steep=0.01 ms cannot be met" in line
    assert "ask for latency_ms@steep=0.1" in line
    assert not (copy / "search").exists()


def test_a_search_without_a_latency_limit(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only parameters are limited; the run goes through to its table, where the largest is still told apart."""
    arguments = ["run", "experiment=tiny", "train.epochs=1", *QUICK[1:], "device=gentle"]
    arguments += ["device.profile.seconds=2.0", *CONF]  # the experiment has seconds of its own
    asked = ["search.latency_fractions=null", "search.limits.params=9000", "search.objective=[accuracy,params,bytes]"]
    assert main([*arguments, *asked, "export.calibration_images=64"]) == 0
    said = capsys.readouterr()
    (finalist,) = read(copy / "search/gentle/finalists.json")["finalists"]
    assert finalist["target"] == {"params": 9000.0}
    assert finalist["margin"] is None
    assert finalist["chosen"]["figures"]["params"] <= 9000
    assert finalist["chosen"]["measured_ms"] == pytest.approx(finalist["chosen"]["predicted_ms"], rel=0.3)
    table = [line.split() for line in said.out.splitlines() if line.strip()]
    assert table[2][:3] == ["9.00", "k", "params"]
    assert table[3][0] == "largest"
    first, last = read(copy / "subnets/gentle.json")["rows"]
    assert (first["limit_ms"], first["largest"], last["largest"]) == (None, False, True)
    assert (copy / "subnets/gentle/model.onnx").is_file()
    page = (copy / "report.html").read_text()
    assert "≤ 9.00 k params" in page
    assert page.count(">largest</td>") == 1


def test_limits_that_nobody_gave_are_fractions_of_the_largest_and_are_met(copy: Path) -> None:
    assert main(["search", *QUICK, "device=gentle", *CONF]) == 0
    found = read(copy / "search/gentle/finalists.json")["finalists"]
    limits = [finalist["target"]["latency_ms"] for finalist in found]
    assert len(limits) == 3
    assert 0.062 < limits[0] < limits[1] < limits[2] < 0.165
    for finalist in found:
        assert finalist["chosen"]["measured_ms"] <= finalist["target"]["latency_ms"]
        assert finalist["chosen"]["measured_ms"] == pytest.approx(finalist["chosen"]["predicted_ms"], rel=0.05)
