"""Trainings whose processes are tasks of a SLURM job, here of submitit's stand-in for one, on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import search.engine._slurm as module
from ofa.errors import InvalidInput
from search.app.main import main
from search.engine import Command, slurm
from tests.search.app.command import ROOT
from tests.search.app.test_ranks import TINY, free_port, run, same_weights

WEIGHTS = Path("outputs/tiny/supernet/model.safetensors")
IN_A_JOB = """
import sys, search.engine._slurm as slurm
from search.app.main import main
slurm.CLUSTER = "local"
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": 0}, "engine.nodes=0 must be a whole number of at least 1"),
        ({"gpus_per_node": -1}, "engine.gpus_per_node=-1 must be a whole number of at least 0"),
        ({"minutes": 0}, "engine.minutes=0 must be more than 0"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        slurm(Command("train", (), tmp_path), **options)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match="engine=slurm: Could not detect"):
        slurm(Command("train", (), tmp_path / "jobs"))
    monkeypatch.setattr(module, "CLUSTER", "local")
    with pytest.raises(InvalidInput, match=r"engine=slurm: .*slurm_accounts"):
        slurm(Command("train", (), tmp_path / "jobs"), options={"slurm_accounts": "mine"})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"engine=slurm needs submitit: pip install 'ofa-search\[sweeps\]'"):
        slurm(Command("train", (), tmp_path))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["train", "engine=ray"], "ofa train: engine=ray evaluates candidates of a search: give engine=slurm"),
        (
            ["search", "engine=slurm"],
            "ofa search: engine=slurm starts the processes of ofa train, prune and finetune: ",
        ),
        (["train", "engine=slurm", "train.epochs=-1"], "ofa train: train.epochs=-1 must be a whole number"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_queued(
    arguments: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(line) and not list(tmp_path.rglob("*.pkl"))


def test_torchrun_and_an_engine_are_not_both(tmp_path: Path) -> None:
    codes, voices = run(2, tmp_path, "train", *TINY, "engine=slurm")
    assert codes == [2, 2] and voices == [
        "ofa train: engine=slurm starts processes itself: give it without torchrun\n",
        "",
    ]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Starts a training of two tasks in `folder`."""
    variables = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-c", IN_A_JOB, "train", *arguments, "engine=slurm", "engine.tasks_per_node=2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, env={**os.environ, **variables}, text=True, **pipes)


@pytest.mark.slow
def test_two_tasks_train_as_two_of_torchrun(tmp_path: Path) -> None:
    (tmp_path / "ranks").mkdir()
    job = start(tmp_path, *TINY)
    assert run(2, tmp_path / "ranks", "train", *TINY)[0] == [0, 0]
    _, said = job.communicate()
    assert job.returncode == 0, said
    assert said.startswith("train: job ") and "1 x 2 processes" in said.splitlines()[0]
    assert said.count("train: 12/12") == 1 and said.count("accuracy on 64 test examples") == 1
    assert same_weights(tmp_path / WEIGHTS, tmp_path / "ranks" / WEIGHTS)
    assert not list((tmp_path / "outputs/.engine").iterdir())


def tasks(folder: Path) -> list[int]:
    """The tasks of a job, by rank."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_text().split("\0")
            variables = (path / "environ").read_text().split("\0")
        except OSError:
            continue
        if "submitit.core._submit" in words and str(folder) in " ".join(words):
            rank = next(word for word in variables if word.startswith("SUBMITIT_LOCAL_GLOBALID="))
            found.append((int(rank.partition("=")[2]), int(path.name)))
    return [pid for _, pid in sorted(found)]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="tasks are found in /proc")
def test_a_job_that_is_preempted_is_queued_again_and_resumes(tmp_path: Path) -> None:
    long = [*TINY, "train.epochs=30", "train.checkpoint_seconds=0.2"]
    (tmp_path / "ranks").mkdir()
    job = start(tmp_path, *long)
    assert run(2, tmp_path / "ranks", "train", *long)[0] == [0, 0]
    checkpoint = tmp_path / WEIGHTS.parent / "checkpoint.safetensors"
    until = time.monotonic() + 300
    while not checkpoint.exists() and time.monotonic() < until and job.poll() is None:
        time.sleep(0.02)
    for pid in tasks(tmp_path):  # as SLURM does, in all tasks
        os.kill(pid, signal.SIGUSR2)
    _, said = job.communicate()
    assert job.returncode == 0, said
    assert said.count("train: 180/180") == 1 and "stopped; the same command continues" in said
    assert same_weights(tmp_path / WEIGHTS, tmp_path / "ranks" / WEIGHTS)


@pytest.mark.slow
def test_a_job_that_fails_or_is_stopped_ends_with_its_command(tmp_path: Path) -> None:
    job = start(tmp_path, *TINY, "train.batch_size=1")
    _, said = job.communicate()
    assert job.returncode == 2 and "ofa train: batch_size=1 is shared by 2 processes: give at least 2\n" in said
    job = start(tmp_path, *TINY, "train.epochs=10000", "train.checkpoint_seconds=0.2")
    checkpoint, until = tmp_path / WEIGHTS.parent / "checkpoint.safetensors", time.monotonic() + 300
    while not checkpoint.exists() and time.monotonic() < until and job.poll() is None:
        time.sleep(0.05)
    job.send_signal(signal.SIGINT)
    _, said = job.communicate()
    assert job.returncode == 130 and "ofa train: stopped; the same command continues where it was" in said
    while (left := tasks(tmp_path)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left
