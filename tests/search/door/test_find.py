"""A search from Python: the same trials as the command line, resumed after a kill, and typed results."""

from __future__ import annotations

import functools
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import optuna
import pytest
import torch
from msgspec import to_builtins

import ofa
import search
from ofa.errors import InvalidInput
from search.app.main import main
from search.candidates.search_files import TrialRow
from search.door.findings import Findings
from search.run.paths import RunFolder
from search.run.trust import TOOLKIT_ALONE
from search.samplers import evolution
from search.training.trained import load_trained
from tests.search.app.command import ROOT
from tests.search.door.small import DEVICE, MET, QUICK, data, supernet

TINY = ["experiment=tiny", "train.epochs=1"]
PROFILE = ["run=tiny", "device.profile.anchors=6", "device.profile.blocks=4", "device.profile.seconds=2"]


def proposed(trials: tuple[TrialRow, ...]) -> list[Any]:
    """What a search decided and measured, without how long it took."""
    return [(row.number, row.state, row.arch, row.score, dict(row.figures)) for row in trials]


def profiled(folder: Path) -> None:
    """Leaves one profile in the runs `a/mine` and `b/mine`: a search adds its finalists to what it has."""
    search.profile(supernet(), DEVICE, run="mine", outputs=folder / "a", progress=False)
    shutil.copytree(folder / "a/mine/profiles", folder / "b/mine/profiles")


@pytest.fixture(scope="module")
def found() -> Findings:
    return search.find(supernet(), data(), {"latency_ms": [900, 1000], "params": 8000}, evaluations=8, **QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["guided", "nsga2"])
def test_the_trials_are_those_of_the_command(sampler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *TINY]) == 0
    assert main(["profile", *PROFILE]) == 0
    shutil.copytree("outputs/tiny/profiles", "elsewhere/mine/profiles")  # before finalists are added to it
    wanted = ["search.evaluations=10", "search.finalists.seconds=1", "search.finalists.visits=4", "seed=3"]
    limits = ["latency_ms=[500,1000]", "search.limits.params=9000"]
    assert main(["search", "run=tiny", f"sampler={sampler}", *wanted, *limits]) == 0
    command = json.loads((tmp_path / "outputs/tiny/search/onnxruntime-500-1000ms-seed3/trials.json").read_text())

    trained = load_trained(RunFolder(Path("outputs/tiny")), TOOLKIT_ALONE)
    found = search.find(
        trained.supernet,
        trained.data,
        {"latency_ms": [500, 1000], "params": 9000},
        evaluations=10,
        sampler=sampler,
        seed=3,
        run="mine",
        outputs="elsewhere",
        finalists={"seconds": 1, "visits": 4},
    )
    names = ("number", "state", "scores", "figures")
    assert [[row[name] for name in names] for row in command["rows"]] == [
        [to_builtins(getattr(row, name)) for name in names] for row in found.trials
    ]
    assert [row["arch"] for row in command["rows"]] == [row.arch.to_dict() for row in found.trials if row.arch]


def test_trials_are_typed_and_keep_the_limits(found: Findings) -> None:
    evaluated = [row for row in found.trials if row.state == "evaluated"]
    assert len(evaluated) == 8
    net = supernet()
    for row in evaluated:
        assert row.arch is not None and row.figures["params"] <= 8000
        assert row.figures["params"] == ofa.cost(net, [row.arch])["params"][0]


def test_the_front_is_what_nothing_beats(found: Findings) -> None:
    points = {row.number: (-row.score.value, row.figures["latency_ms"]) for row in found.trials if row.score}

    def beaten(mine: tuple[float, float]) -> bool:
        return any(all(a <= b for a, b in zip(one, mine, strict=True)) and one != mine for one in points.values())

    assert {points[row.number] for row in found.front} == {point for point in points.values() if not beaten(point)}


def test_the_best_is_measured_and_within_its_limit(found: Findings) -> None:
    best = found.best(900)
    assert best.measured_ms <= 900 and best.figures["params"] <= 8000
    assert best == found.best({"latency_ms": 900, "params": 8000})
    assert found.best().score.value == max(finalist.chosen.score.value for finalist in found.finalists)
    with pytest.raises(InvalidInput, match=r"limit=4 was not searched for; there are: .*900 ms.*1000 ms"):
        found.best(4)


def test_the_study_is_one_of_optuna(found: Findings) -> None:
    assert isinstance(found.study, optuna.Study)
    assert len(found.study.trials) == len(found.trials)


def test_a_table_has_a_row_per_trial_and_a_column_per_choice(found: Findings) -> None:
    pytest.importorskip("pandas")
    table = found.to_pandas()
    assert len(table) == len(found.trials)
    assert {"accuracy", "latency_ms", "params", "width.stem"} <= set(table.columns)
    assert table["accuracy"].tolist() == [row.score and row.score.value for row in found.trials]


@pytest.mark.slow  # a process that imports PyTorch
def test_pandas_is_imported_for_a_table_alone() -> None:
    code = "import sys, search.door.findings; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"


def test_an_extracted_folder_runs_under_onnx_and_loads(found: Findings, tmp_path: Path) -> None:
    card = found.extract(tmp_path / "subnet", 900)
    files = {path.name for path in (tmp_path / "subnet").iterdir()}
    assert files == {"model.safetensors", "model.onnx", "network.py", "arch.json", "card.json", "verify.npz"}
    verify = np.load(tmp_path / "subnet/verify.npz")
    session = onnxruntime.InferenceSession(tmp_path / "subnet/model.onnx")
    (logits,) = session.run(["logits"], {"input": verify["input"]})
    assert np.abs(logits - verify["logits"]).max() < 1e-4
    assert card.limits == {"latency_ms": 900, "params": 8000} and card.trial == found.best(900).trial
    net = search.load(tmp_path / "subnet", model=supernet().model)
    assert torch.allclose(net(torch.from_numpy(verify["input"])), torch.from_numpy(verify["logits"]), atol=1e-4)
    with pytest.raises(InvalidInput, match="has no model config: give the full model"):
        search.load(tmp_path / "subnet")


def test_a_complete_search_is_read_and_more_evaluations_go_on(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {**QUICK, "run": "mine", "outputs": tmp_path, "artifacts": True}
    first = search.find(supernet(), data(), MET, evaluations=4, **arguments)
    assert list(first.folder.rglob("artifacts/*"))  # what the dashboard shows of each trial, as with the verb
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*") if path.is_file()}
    again = search.find(supernet(), data(), MET, evaluations=4, **arguments)
    assert again.trials == first.trials
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*") if path.is_file()} == before
    more = search.find(supernet(), data(), MET, evaluations=7, **arguments)
    assert more.trials[: len(first.trials)] == first.trials and len(more.trials) > len(first.trials)


SCRIPT = """
import search
from tests.search.door.small import MET, QUICK, data, supernet
search.find(supernet(), data(), MET, evaluations=12, run="mine", outputs={outputs!r}, **QUICK)
"""


@pytest.mark.slow
def test_killed_and_called_again_it_resumes(tmp_path: Path) -> None:
    profiled(tmp_path)
    undisturbed = search.find(supernet(), data(), MET, evaluations=12, run="mine", outputs=tmp_path / "a", **QUICK)
    command = [sys.executable, "-c", SCRIPT.format(outputs=str(tmp_path / "b"))]
    job = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    journal = tmp_path / "b/mine/search/onnxruntime-1000ms/journal.log"
    while job.poll() is None and not (journal.is_file() and journal.read_text().count('"scores"') >= 3):
        time.sleep(0.002)
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL, "it was not killed in the midst of the search"
    resumed = search.find(supernet(), data(), MET, evaluations=12, run="mine", outputs=tmp_path / "b", **QUICK)
    evaluated = [[row[2:] for row in proposed(one.trials) if row[1] == "evaluated"] for one in (undisturbed, resumed)]
    assert evaluated[0] == evaluated[1]


def test_finalists_of_a_supernet_of_an_unknown_training_are_fine_tuned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {"epochs": 3, "distill": 0.0, "learning_rate": 1.0}  # there is nothing to learn from random weights
    found = search.find(supernet(), data(), MET, evaluations=3, finetune=recipe, **QUICK)
    assert "how the supernet was trained is not known, so AdamW is taken" in capsys.readouterr().err
    chosen = found.best()
    assert chosen.raw is not None and chosen.gain is not None and chosen.gain.value > 0.1
    card = found.extract(tmp_path / "subnet")
    assert card.finetuned is not None and card.scores.validation["accuracy"].value == chosen.score.value


@pytest.mark.slow
def test_several_workers_search_an_adopted_run(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"workers=2: each builds the supernet again .* search\.adopt"):
        search.find(supernet(), data(), MET, workers=2, evaluations=6, run="mine", outputs=tmp_path, **QUICK)
    search.adopt(supernet(), data(), "mine", tmp_path)
    found = search.find(supernet(), data(), MET, workers=2, evaluations=6, run="mine", outputs=tmp_path, **QUICK)
    assert sum(row.state == "evaluated" for row in found.trials) == 6


def test_a_sampler_by_name_and_by_function_are_one(tmp_path: Path) -> None:
    profiled(tmp_path)
    named = search.find(
        supernet(), data(), MET, evaluations=6, sampler="evolution", run="mine", outputs=tmp_path / "a", **QUICK
    )
    function = functools.partial(evolution, population=100, startup_trials=20, parents=0.25, mutation=0.1, mutated=0.5)
    given = search.find(
        supernet(), data(), MET, evaluations=6, sampler=function, run="mine", outputs=tmp_path / "b", **QUICK
    )
    assert given.request.sampler == named.request.sampler
    assert proposed(given.trials) == proposed(named.trials)


def test_nothing_is_printed_without_progress(capsys: pytest.CaptureFixture[str]) -> None:
    search.find(supernet(), data(), MET, evaluations=3, progress=False, **QUICK)
    shown = capsys.readouterr()
    assert shown.out + shown.err == ""
    search.find(supernet(), data(), MET, evaluations=3, **QUICK)
    shown = capsys.readouterr()
    assert "search: 3/3" in shown.err and shown.out == ""


def test_a_temporary_run_goes_with_its_findings() -> None:
    found = search.find(supernet(), data(), MET, evaluations=3, progress=False, **QUICK)
    folder = found.folder
    assert folder.is_dir()
    assert found.temporary is not None
    found.temporary.cleanup()
    assert not folder.exists()


def test_other_data_and_another_supernet_are_refused_in_a_run(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"run": "mine", "outputs": tmp_path, "evaluations": 3, **QUICK}
    search.find(supernet(), data(), MET, **arguments)
    with pytest.raises(InvalidInput, match=r"digits is not the data that .*mine was made with: .*train .*gone"):
        search.find(supernet(), ofa.data.digits(test=0.3), MET, **arguments)
    with pytest.raises(InvalidInput, match="from another supernet"):
        search.find(supernet(seed=1), data(), MET, **arguments)
