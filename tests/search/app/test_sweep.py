"""Sweeps over one supernet: folders by seed, the summary at the end, jobs side by side in processes of their own."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ofa.errors import InvalidInput
from search.app.main import main
from search.report.gather_sweep import front_of, gather_sweep
from search.run.paths import RunFolder

QUICK = ["search.evaluations=6", "search.finalists.seconds=1", "search.finalists.visits=6"]
PROFILE = ["anchors=10", "visits=6", "repeats=4", "seconds=4.0", "blocks=0", "alignment=false"]
PROFILED = [*QUICK, *(f"device.profile.{setting}" for setting in PROFILE)]
# In processes of their own, which nothing here makes steady.
STEADY = ["device.runtime._target_=tests.search.simulated_runtime.SimulatedRuntime", "trust=[tests]"]
NO_JOBLIB = importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is None


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("trained")
        patch.chdir(place)
        assert main(["train", "experiment=tiny", "run=main", "train.epochs=2"]) == 0
        yield place


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(trained / "outputs", tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs/main"


@pytest.mark.slow
def test_seeds_have_folders_of_their_own_and_one_summary(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", *PROFILED, "--multirun", "latency_ms=50,1e-9", "seed=0,1"]) == 2  # one of the limits
    said = capsys.readouterr()
    assert said.err.count("cannot be met") == 2
    assert {path.name for path in (folder / "search").iterdir()} == {"onnxruntime-50ms", "onnxruntime-50ms-seed1"}
    (row,) = [line for line in said.out.splitlines() if line.startswith("onnxruntime-50ms ")]
    assert "0, 1" in row
    assert "of 2" in row
    page = (folder / "sweep.html").read_text()
    assert '<div id="fronts-0">' in page
    assert main(["extract", "device=onnxruntime"]) == 0
    assert {"onnxruntime-50ms", "onnxruntime-50ms-seed1"} <= {path.name for path in (folder / "subnets").iterdir()}
    assert main(["sweep"]) == 0
    (target,) = gather_sweep(RunFolder(folder)).targets
    assert target.seeds == (0, 1)
    assert all(choice.test is not None for choice in target.choices)
    for chosen in target.choices:
        found = json.loads((folder / "search" / chosen.search / "finalists.json").read_text())
        assert chosen.validation.value == found["finalists"][0]["chosen"]["scores"]["accuracy"]["value"]
        assert chosen.times["latency_ms"] == found["finalists"][0]["chosen"]["measured_ms"]


def test_a_run_without_searches_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep"]) == 2
    assert "holds no complete search" in capsys.readouterr().err
    with pytest.raises(InvalidInput, match="run ofa search run=main first"):
        gather_sweep(RunFolder(folder))


def test_a_multirun_of_which_nothing_was_done_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["search", "--multirun", "seed=0,1"]) == 2
    said = capsys.readouterr().err
    assert said.count("ofa search: ") == 2  # a line a job
    assert "sweep: no summary: " in said


@pytest.mark.parametrize("seed", ["-1", "1.5", "one"])
def test_a_seed_that_is_none_is_refused(seed: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", f"seed={seed}"]) == 2
    assert "must be a whole number, at least 0" in capsys.readouterr().err
    assert not (folder / "search").exists()


@pytest.mark.slow
@pytest.mark.skipif(NO_JOBLIB, reason="hydra-joblib-launcher is not installed: pip install 'ofa-search[sweeps]'")
def test_jobs_side_by_side_share_one_profile_and_give_back_their_codes(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = ["--multirun", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *STEADY]
    assert main(["search", *PROFILED, *sweep, "latency_ms=50", "seed=0,1"]) == 0
    said = capfd.readouterr()
    assert said.err.count("profile: latency model of onnxruntime") == 1  # measured by one of the two
    assert said.err.count("is there, nothing to do") == 1
    assert gather_sweep(RunFolder(folder)).searches == ("onnxruntime-50ms", "onnxruntime-50ms-seed1")
    assert (folder / "sweep.html").is_file()
    assert not list(folder.glob("profiles/onnxruntime.lock"))
    assert main(["search", *PROFILED, *sweep, "latency_ms=1e-9,60"]) == 2
    said = capfd.readouterr()
    assert "some jobs failed" in said.err
    assert (folder / "search/onnxruntime-60ms/finalists.json").is_file()
    assert "onnxruntime-60ms " in said.out  # the summary comes all the same
    assert "<code>onnxruntime-60ms</code>" in (folder / "sweep.html").read_text()


@pytest.mark.slow
@pytest.mark.long  # each job begins a cluster
def test_jobs_that_each_have_evaluators_on_ray(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    library = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")  # on a busy machine
    engine = ["engine=ray", "engine.address=local", "workers=2"]
    assert main(["search", *PROFILED, *engine, "--multirun", "latency_ms=50", "seed=0,1"]) == 0
    assert not library.is_initialized()
    assert gather_sweep(RunFolder(folder)).searches == ("onnxruntime-50ms", "onnxruntime-50ms-seed1")
    for name in ("onnxruntime-50ms", "onnxruntime-50ms-seed1"):
        rows = json.loads((folder / "search" / name / "trials.json").read_text())["rows"]
        assert sum(row["state"] == "evaluated" for row in rows) == 6
    assert "onnxruntime-50ms " in capsys.readouterr().out
    assert (folder / "sweep.html").is_file()


def test_front_has_what_nothing_beats() -> None:
    points = [(2.0, 0.9), (1.0, 0.8), (3.0, 0.85), (1.0, 0.7), (4.0, 0.95), (5.0, 0.95)]
    assert front_of(points) == ((1.0, 0.8), (2.0, 0.9), (4.0, 0.95))
