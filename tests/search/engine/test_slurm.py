"""Trainings whose processes are tasks of a SLURM job, here of submitit's stand-in for one, on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import search.engine._slurm as module
from ofa.errors import InvalidInput
from search.app.main import main
from search.app.process import signals_as_interrupts
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
        (["train", "engine=local"], "ofa train: engine=local evaluates candidates of a search: give engine=slurm or"),
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


@pytest.fixture
def in_jobs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Command]:
    """Makes a command of two tasks whose processes run a program in place of the verb, in a job on this machine."""
    monkeypatch.setattr(module, "CLUSTER", "local")
    monkeypatch.setenv("MASTER_PORT", str(free_port()))

    def made(program: str, folder: Path) -> Command:
        monkeypatch.setattr(Command, "line", property(lambda command: [sys.executable, "-c", program]))
        monkeypatch.chdir(folder)
        return Command("train", (), folder / ".engine")

    return made


def tasks(folder: Path) -> list[int]:
    """The tasks of the jobs in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if "submitit.core._submit" in words and str(folder) in " ".join(words):
            found.append(int(path.name))
    return found


def signaled_once_they_run(folder: Path, signals: Callable[[], Any]) -> threading.Thread:
    """Sends signals once both processes have begun."""

    def send() -> None:
        until = time.monotonic() + 300
        while len(list(folder.glob("began*"))) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        signals()

    thread = threading.Thread(target=send)
    thread.start()
    return thread


BEGINS = """
import os, pathlib, sys, time
rank, began = os.environ["RANK"], pathlib.Path("began" + os.environ["RANK"])
where = [os.environ[name] for name in ("WORLD_SIZE", "LOCAL_RANK", "OFA_STARTED_BY_ENGINE")]
print("process", rank, "of", *where, flush=True)
"""


@pytest.mark.slow
def test_a_job_that_fails_has_the_exit_code_of_its_first_process(
    tmp_path: Path, in_jobs: Callable[..., Command], capsys: Any
) -> None:
    assert slurm(in_jobs(f"{BEGINS}\nsys.exit(5 - int(rank))", tmp_path), tasks_per_node=2, minutes=10) == 5
    said = capsys.readouterr().err
    assert "1 x 2 processes; what they say is in " in said and "process 0 of 2 0 slurm" in said
    (folder,) = (tmp_path / ".engine").iterdir()
    assert (folder / "said_1.txt").read_text() == "process 1 of 2 1 slurm\n"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="tasks are found in /proc")
def test_a_job_that_is_preempted_is_queued_again(tmp_path: Path, in_jobs: Callable[..., Command], capsys: Any) -> None:
    program = (
        BEGINS
        + """
if not began.exists():
    began.touch()
    while rank == "0" or not pathlib.Path("lost").exists():
        time.sleep(0.05)
print("goes on")
"""
    )

    def preempt() -> None:  # as SLURM does, in all tasks
        for pid in tasks(tmp_path):
            os.kill(pid, signal.SIGUSR2)
        (tmp_path / "lost").touch()  # the others of a training end when the first does

    thread = signaled_once_they_run(tmp_path, preempt)
    assert slurm(in_jobs(program, tmp_path), tasks_per_node=2, minutes=10) == 0
    thread.join()
    said = capsys.readouterr().err
    assert said.count("process 0 of 2") == 2 and said.count("goes on") >= 1
    assert not list((tmp_path / ".engine").iterdir())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="tasks are found in /proc")
def test_a_command_that_is_stopped_cancels_its_job(tmp_path: Path, in_jobs: Callable[..., Command]) -> None:
    thread = signaled_once_they_run(tmp_path, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt), signals_as_interrupts():  # raised again where a library dropped it
        slurm(in_jobs(f"{BEGINS}\nbegan.touch(); time.sleep(1000)", tmp_path), tasks_per_node=2, minutes=10)
    thread.join()
    until = time.monotonic() + 300
    while (left := tasks(tmp_path)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left


@pytest.mark.slow
def test_two_tasks_train_as_two_of_torchrun(tmp_path: Path) -> None:
    (tmp_path / "ranks").mkdir()
    variables = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-c", IN_A_JOB, "train", *TINY, "engine=slurm", "engine.tasks_per_node=2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    job = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **variables}, text=True, **pipes)
    assert run(2, tmp_path / "ranks", "train", *TINY)[0] == [0, 0]
    _, said = job.communicate()
    assert job.returncode == 0, said
    assert said.startswith("train: job ") and "1 x 2 processes" in said.splitlines()[0]
    assert said.count("train: 16/16") == 1 and said.count("accuracy on 64 test examples") == 1
    assert same_weights(tmp_path / WEIGHTS, tmp_path / "ranks" / WEIGHTS)
    assert not list((tmp_path / "outputs/.engine").iterdir())
