"""Trainings through the commands of SLURM: queued by sbatch, started by srun, preempted, canceled."""

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

from search.app.process import signals_as_interrupts
from search.engine import Command, slurm
from tests.search.app.command import ROOT
from tests.search.app.test_ranks import TINY, free_port, run, same_weights
from tests.search.engine import slurm_cluster
from tests.search.engine.test_slurm import BEGINS, WEIGHTS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="signals of process groups"),
]
WAITS = f"""{BEGINS}
if not began.exists():
    began.touch()
    time.sleep(1000)
print("goes on", flush=True)
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the first job of a cluster that is on the path."""
    for name, value in slurm_cluster.put_on_path(tmp_path / "cluster").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", str(free_port()))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cluster/jobs/1"


def command(program: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr(Command, "line", property(lambda _: [sys.executable, "-c", program]))
    return Command("train", (), folder / ".engine")


def once(happened: Callable[[], bool], then: Callable[[], Any]) -> threading.Thread:
    def watch() -> None:
        until = time.monotonic() + 300
        while not happened() and time.monotonic() < until:
            time.sleep(0.05)
        then()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_processes_on_several_machines_know_their_places(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    made = command(f"{BEGINS}\nsys.exit(5 - int(rank))", tmp_path, monkeypatch)
    assert slurm(made, nodes=2, minutes=10, partition="fast", options={"mem_gb": 2}) == 5
    assert "train: job 1, 2 x 1 processes" in (said := capsys.readouterr().err) and "process 0 of 2 0 slurm" in said
    (folder,) = (tmp_path / ".engine").iterdir()
    assert (folder / "said_1.txt").read_text() == "process 1 of 2 0 slurm\n"
    script = (job / "script").read_text()
    assert "--partition=fast" in script and "--mem=2GB" in script and "--signal=USR2@90" in script


def by_user_signal(job: Path) -> None:
    slurm_cluster.signal_job(job, signal.SIGUSR2)


def by_both(job: Path) -> None:
    slurm_cluster.signal_job(job, signal.SIGTERM)
    time.sleep(0.5)
    slurm_cluster.signal_job(job, signal.SIGUSR2)


@pytest.mark.parametrize("preempt", [by_user_signal, by_both, slurm_cluster.requeue])
def test_a_job_that_is_preempted_goes_on(
    preempt: Callable[[Path], None], job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    thread = once(lambda: len(list(tmp_path.glob("began*"))) == 2, lambda: preempt(job))
    assert slurm(command(WAITS, tmp_path, monkeypatch), tasks_per_node=2, minutes=10) == 0
    thread.join()
    said = capsys.readouterr().err
    assert said.count("process 0 of 2") == 2 and said.count("goes on") == 2
    assert not list((tmp_path / ".engine").iterdir())


def test_a_command_that_is_stopped_cancels_its_job(job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = once(
        lambda: len(list(tmp_path.glob("began*"))) == 2,
        lambda: os.kill(os.getpid(), signal.SIGINT),
    )
    with pytest.raises(KeyboardInterrupt), signals_as_interrupts():  # raised again where a library dropped it
        slurm(command(WAITS, tmp_path, monkeypatch), tasks_per_node=2, minutes=10)
    stop.join()
    assert slurm_cluster.states_of(job)[-1] == "CANCELLED"


def test_a_training_that_is_preempted_ends_with_the_bits_of_torchrun(job: Path, tmp_path: Path) -> None:
    (tmp_path / "ranks").mkdir()
    long = ["train", *TINY, "train.epochs=10", "train.validate_every=0", "train.checkpoint_seconds=0.1"]
    line = [sys.executable, "-m", "search.app.main", *long, "engine=slurm", "engine.tasks_per_node=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    log = tmp_path / "said.txt"
    with log.open("w") as file:
        queued = subprocess.Popen(line, cwd=tmp_path, env=environment, stdout=file, stderr=file)
    trained = tmp_path / "outputs/tiny/supernet"
    thread = once(lambda: any(trained.glob("checkpoint*")), lambda: slurm_cluster.requeue(job))
    code = queued.wait()
    thread.join()
    assert code == 0, log.read_text()
    once(lambda: slurm_cluster.states_of(job)[-1] != "RUNNING", lambda: None).join()  # after its result is there
    assert slurm_cluster.states_of(job) == ["PENDING", "RUNNING", "REQUEUED", "RUNNING", "COMPLETED"]
    assert run(2, tmp_path / "ranks", *long)[0] == [0, 0]
    assert same_weights(tmp_path / WEIGHTS, tmp_path / "ranks" / WEIGHTS)
