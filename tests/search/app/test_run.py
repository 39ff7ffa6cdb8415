"""`ofa run` from end to end on a small net and made-up images, and every later verb over what it leaves."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from search.app.main import main
from search.networks.rebuild import load
from search.run.file_lock import held
from tests.record_files import rewrite
from tests.without_the_package import check_plain_pytorch

TINY = "experiment=tiny"
# Limits that everything meets: how quick this machine is does not matter.
RUN = ["run", TINY, "latency_ms=[1000,2000]", "study=onnxruntime"]
MET = "latency_ms=1000"
QUICK = ["run=tiny", "search.evaluations=6", "search.finalists.seconds=1", "search.finalists.visits=6"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder where `ofa run experiment=tiny` was run; tests that change it work on a copy."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("run")
        patch.chdir(place)
        assert main(RUN) == 0
        yield place


@pytest.fixture
def copy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(folder / "outputs", tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by name; locks are no contents."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".lock", ".runner", ".claim")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_run_leaves_everything(folder: Path) -> None:
    run = folder / "outputs/tiny"
    assert {path.name for path in run.iterdir()} == {
        "supernet",
        "profiles",
        "search",
        "subnets",
        "cache",
        "report.html",
    }
    files = {path.name for path in (run / "supernet").iterdir()}
    own = {"model.safetensors", "data.safetensors", "supernet.json", "layers.json"}
    own |= {"config.yaml", "history.json", "stage.json"}
    assert files == own
    rows = json.loads((run / "subnets/onnxruntime.json").read_text())["rows"]
    assert rows[-1]["limit_ms"] is None
    assert len(rows) >= 2
    for row in rows[:-1]:
        assert row["measured_ms"] <= row["limit_ms"]
        card = json.loads((run / row["folder"] / "card.json").read_text())
        assert card["accuracy"]["test"] == row["accuracy"]["test"]
        assert card["device"] == "onnxruntime"


@pytest.mark.parametrize(
    ("command", "output", "being"),
    [
        ("run force=true", "supernet", "trained"),
        ("train train.epochs=2", "supernet", "trained"),
        ("profile device=eager", "profiles/eager", "measured"),
        ("profile force=true", "profiles/onnxruntime", "measured"),
        ("search study=new", "search/new", "searched"),
        ("search search.evaluations=20", "search/onnxruntime", "searched"),
        ("extract force=true", "subnets/onnxruntime", "extracted"),
        ("compare", "comparison", "compared"),
        ("prune prune=one_shot prune.start=initial baseline=false name=small", "prune/small", "pruned"),
    ],
)
def test_what_another_process_writes_is_left_to_it(
    command: str,
    output: str,
    being: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("search.run.file_lock.QUIET_SECONDS", 0.05)
    verb, *overrides = command.split()
    tiny = [TINY] if verb in ("run", "train") else ["run=tiny"]
    before = contents(folder / "outputs")
    with held(folder / f"outputs/tiny/{output}.lock"):
        assert main([verb, *tiny, *overrides]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"outputs/tiny/{output}" in line
    assert f"is being {being} by another process (pid {os.getpid()}): wait for it, or use " in line
    assert contents(folder / "outputs") == before


@pytest.mark.slow
def test_workers_search_together_what_one_would(copy: Path) -> None:
    files = copy / "outputs/tiny/search/both"
    assert main(["search", "study=both", "workers=2", MET, *QUICK]) == 0
    rows = json.loads((files / "trials.json").read_text())["rows"]
    assert sum(row["state"] == "evaluated" for row in rows) == 6
    assert json.loads((files / "finalists.json").read_text())
    text = (files / "journal.log").read_text()
    assert '"worker"' in text
    assert main(["search", "study=both", "search.evaluations=8", MET, *QUICK[:1], *QUICK[2:]]) == 0
    rows = json.loads((files / "trials.json").read_text())["rows"]
    assert sum(row["state"] == "evaluated" for row in rows) == 8


def test_extracted_onnx_needs_nothing_of_ours(folder: Path) -> None:
    (first, *_) = sorted((folder / "outputs/tiny/subnets").glob("onnxruntime-*ms"))
    verify = np.load(first / "verify.npz")
    session = onnxruntime.InferenceSession(first / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"input": verify["input"]})
    np.testing.assert_allclose(logits, verify["logits"], atol=1e-4)


def test_what_extract_wrote_loads_again_and_runs_anywhere(folder: Path) -> None:
    places = sorted((folder / "outputs/tiny/subnets").glob("onnxruntime-*ms"))
    for place in places:
        net = load(place)
        verify = np.load(place / "verify.npz")
        with torch.no_grad():
            np.testing.assert_allclose(net(torch.from_numpy(verify["input"])), verify["logits"], atol=1e-6)
        card = json.loads((place / "card.json").read_text())
        sizes = [card["rebuild"][key] for key in ("input_shape", "num_classes")]
        assert sizes == [[1, 8, 8], verify["logits"].shape[1]]
    check_plain_pytorch(*places)


def test_report_is_complete_in_itself(folder: Path) -> None:
    page = (folder / "outputs/tiny/report.html").read_text()
    assert page.count("</html>") == 1
    assert "<link" not in page
    assert " src=" not in page.split("<script>")[0]
    assert '<div id="s0-pareto">' in page
    assert 'class="silhouette"' in page


def test_again_skips_everything(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(copy)
    before.pop("outputs/tiny/report.html")
    assert main(RUN) == 0
    said = capsys.readouterr()
    assert said.err.count("is there, nothing to do") == 4
    assert "test accuracy" in said.out
    assert "largest" in said.out
    after = contents(copy)
    after.pop("outputs/tiny/report.html")
    assert after == before


def test_another_configuration_is_refused_and_nothing_touched(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(copy)
    assert main([*RUN, "seed=1"]) == 2
    assert "seed=0 there, 1 now" in capsys.readouterr().err
    assert contents(copy) == before


@pytest.mark.slow
def test_multirun_searches_every_limit_over_one_supernet(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", *QUICK, "--multirun", "latency_ms=1e-9,1000,2000"]) == 2
    err = capsys.readouterr().err
    assert err.count("cannot be met") == 1
    assert "nothing to do" in err  # the profile is used as it is
    for limit in (1000, 2000):
        assert (copy / f"outputs/tiny/search/onnxruntime-{limit}ms/finalists.json").is_file()
    assert main(["extract", "run=tiny", "study=onnxruntime-1000ms"]) == 0
    assert (copy / "outputs/tiny/subnets/onnxruntime-1000ms/model.onnx").is_file()
    assert main(["report", "run=tiny"]) == 0
    assert '<div id="s2-pareto">' in (copy / "outputs/tiny/report.html").read_text()


def test_more_evaluations_continue_a_search(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "search.evaluations=20"]) == 0
    assert "search: 20/20" in capsys.readouterr().err
    assert len(json.loads((copy / "outputs/tiny/search/onnxruntime/trials.json").read_text())["rows"]) >= 20


def test_a_trial_is_extracted_by_its_number(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", "run=tiny", "trial=1"]) == 0
    card = json.loads((copy / "outputs/tiny/subnets/onnxruntime-trial-1/card.json").read_text())
    assert card["trial"] == 1
    load(copy / "outputs/tiny/subnets/onnxruntime-trial-1")
    assert main(["extract", "run=tiny", "trial=999"]) == 2
    assert "has trials 0 to" in capsys.readouterr().err


def test_force_trains_anew_and_says_what_no_longer_fits(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", TINY, "seed=1", "force=true"]) == 0
    assert main(["search", "run=tiny", *RUN[2:]]) == 2
    assert "was made from another supernet" in capsys.readouterr().err
    assert not (copy / "outputs/tiny/supernet.new").exists()


DAMAGE = {
    "supernet/model.safetensors": "model.safetensors is truncated or not a checkpoint",
    "supernet/supernet.json": "supernet.json is damaged",
    "supernet/config.yaml": "config.yaml is ",
    "profiles/onnxruntime.json": "onnxruntime.json is damaged",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_truncated_files_are_named_and_left(name: str, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copy / "outputs/tiny" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    before = contents(copy)
    assert main(["search", *QUICK, "latency_ms=1"]) == 2
    (*_, line) = capsys.readouterr().err.splitlines()
    assert DAMAGE[name] in line
    assert contents(copy) == before


def test_truncated_checkpoint_is_named_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["train", TINY, "train.epochs=1"]
    monkeypatch.setattr("search.app.training._save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(arguments) == 130
    assert "the same command continues" in capsys.readouterr().err
    checkpoint = tmp_path / "outputs/tiny/supernet/checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert main(arguments) == 2
    assert "checkpoint.safetensors is truncated" in capsys.readouterr().err
    assert checkpoint.stat().st_size == 1000


def test_supernet_of_another_model_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", TINY, "run=other", "model.widths=[16,16,16]", "train.epochs=1"]) == 0
    shutil.copy(copy / "outputs/other/supernet/model.safetensors", copy / "outputs/tiny/supernet")
    assert main(["search", *QUICK, "latency_ms=1"]) == 2
    assert "is of a supernet with another space" in capsys.readouterr().err


@pytest.mark.slow
def test_a_search_begins_with_the_best_of_another(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warm = [*QUICK[:1], *QUICK[2:], MET, "study=warm", "search.warm_start_candidates=5"]
    warm.insert(0, "search.calibration_images=128")  # as the other search had it: its accuracies are known
    named = ["search.warm_start=[onnxruntime]"]
    assert main(["search", *warm, *named, "search.evaluations=4"]) == 0
    assert "search: begins with 5 of 5 candidates of earlier searches" in capsys.readouterr().err
    files = copy / "outputs/tiny/search/warm"
    first = json.loads((files / "warm_start.json").read_text())["rows"]
    assert len(first) == 5
    earlier = copy / "outputs/tiny/search/onnxruntime"
    rewrite(
        earlier / "trials.json", lambda trials: trials.update(rows=[])
    )  # what has begun goes on with what it began with
    assert main(["search", *warm, *named, "search.evaluations=9"]) == 0
    rows = json.loads((files / "trials.json").read_text())["rows"]
    evaluated = [row for row in rows if row["state"] == "evaluated"]
    assert len(evaluated) == 9
    assert all(one["arch"] in [row["arch"] for row in evaluated] for one in first)
    assert all(row["cached"] for row in evaluated if row["arch"] in [one["arch"] for one in first])
    assert main(["search", *warm, "search.evaluations=9"]) == 2
    assert "search.warm_start=['onnxruntime'] there, absent now" in capsys.readouterr().err
    assert main(["search", *warm[:-2], "study=cold", "search.warm_start=[onnxruntim]"]) == 2
    assert "did you mean onnxruntime" in capsys.readouterr().err
    assert main(["search", *warm[:-2], "study=cold", "search.warm_start=5"]) == 2
    assert "search.warm_start=5 must be a list of texts" in capsys.readouterr().err
    assert main(["search", *warm[:-2], "study=cold", "search.warm_start=[cold]"]) == 2
    assert "has the search itself" in capsys.readouterr().err
