"""From a device that is slow off multiples of 16 to a search over aligned widths, by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from search.app.main import main
from tests.search.simulated_clock import simulated_clock

pytestmark = pytest.mark.slow

RUNTIMES = """
from tests.search.simulated_clock import run_of

class Picky:
    name = "picky"

    def load(self, net, example_input):
        widths = [each.out_channels for each in net.modules() if hasattr(each, "out_channels")]
        us = 40 + 0.005 * sum(each.numel() for each in net.parameters()) + 40 * any(each % 16 for each in widths)
        return run_of(us)

    def describe(self):
        return {"name": "picky", "threads": 1}
"""
DEVICE = """
name: picky
runtime: {_target_: runtimes_that_are_picky.Picky}
profile: {anchors: 10, visits: 6, repeats: 4, seconds: 2.0, clock: wall}
"""
QUICK = ["run=tiny", "device=picky", "--config-dir", "my_conf", "search.evaluations=6", "search.calibration_images=64"]
QUICK += ["search.finalists.seconds=1", "search.finalists.visits=6", "search.finalists.repeats=2"]
QUICK += ["search.latency_fractions=null"]


def widths(path: Path) -> set[int]:
    rows = json.loads(path.read_text())["rows"]
    return {width for row in rows for width in row["arch"]["width"].values()}


def test_a_search_keeps_to_the_widths_that_its_device_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "runtimes_that_are_picky.py").write_text(RUNTIMES)
    (tmp_path / "my_conf/device").mkdir(parents=True)
    (tmp_path / "my_conf/device/picky.yaml").write_text(DEVICE)
    run = tmp_path / "outputs/tiny"
    assert main(["train", "experiment=tiny", "train.epochs=1"]) == 0
    with simulated_clock():
        check_searches(run, capsys)


def check_searches(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "run=tiny", "device=picky", "--config-dir", "my_conf"]) == 0
    assert "profile: widths: multiples of 16 needed (" in capsys.readouterr().err
    assert main(["search", *QUICK]) == 0
    assert "search: widths only in multiples of 16 (picky; search.align=1 takes any): " in capsys.readouterr().err
    assert widths(run / "search/picky/trials.json") <= {16, 32}
    assert main(["search", *QUICK, "search.align=1"]) == 2
    assert "search.align=absent there, 1 now" in capsys.readouterr().err
    assert main(["search", *QUICK, "search.align=1", "study=any"]) == 0
    assert "multiples" not in capsys.readouterr().err
    assert 8 in widths(run / "search/any/trials.json")
