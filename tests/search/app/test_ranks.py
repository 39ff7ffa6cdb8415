"""Verbs that a launcher starts several times: one work in one folder, one voice, or one line that refuses."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ofa.checkpoint import load_checkpoint
from search.app.main import main
from search.run.paths import RunFolder
from tests.search.app.command import ROOT

TINY = ["experiment=tiny", "train.epochs=2", "train.validate_every=1"]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def start(count: int, folder: Path, *arguments: str) -> list[int]:
    """Starts `ofa` as a launcher does, forked; what each process says is in a file of its rank."""
    port = free_port()
    children = []
    for rank in range(count):
        child = os.fork()
        if child:
            children.append(child)
            continue
        code = 70
        try:
            os.chdir(folder)
            where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)} | where
            sys.stdout = sys.stderr = Path(f"said{rank}.txt").open("w", encoding="utf-8")
            code = main(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    return children


def ended(children: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def said(folder: Path, rank: int) -> str:
    return (folder / f"said{rank}.txt").read_text()


def run(count: int, folder: Path, *arguments: str) -> tuple[list[int], list[str]]:
    codes = ended(start(count, folder, *arguments))
    return codes, [said(folder, rank) for rank in range(count)]


def same_weights(first: Path, second: Path) -> bool:
    one, other = (load_checkpoint(path)[0] for path in (first, second))
    return one.keys() == other.keys() and all(tensor.equal(other[name]) for name, tensor in one.items())


def test_a_supernet_is_trained_once_and_said_once(tmp_path: Path) -> None:
    codes, voices = run(2, tmp_path, "train", *TINY)
    assert codes == [0, 0] and voices[1] == ""
    assert "train: 16/16" in voices[0] and voices[0].count("accuracy on 64 test examples") == 1
    made = {path.name for path in (tmp_path / "outputs/tiny").iterdir()}
    assert made == {"supernet", "live.html"} and not list(tmp_path.rglob("checkpoint*"))
    codes, voices = run(2, tmp_path, "train", *TINY)
    assert codes == [0, 0] and "nothing to do" in voices[0] and voices[1] == ""


@pytest.mark.slow
def test_a_network_is_pruned_once(tmp_path: Path) -> None:
    recipe = [
        "model=mlp",
        "model.width=16",
        "data=digits",
        "dense.epochs=1",
        "prune=cubic",
        "prune.retraining.epochs=1",
    ]
    codes, voices = run(2, tmp_path, "prune", *recipe)
    assert codes == [0, 0] and voices[1] == "", voices
    cards = list(RunFolder(tmp_path / "outputs/main").pruned.glob("*/*.json"))
    assert len({card.parent for card in cards}) == 1 and "dense: accuracy" in voices[0]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["search", "experiment=tiny"], "ofa search: this verb is one process, and was started as 2 (WORLD_SIZE): "),
        (["report"], "ofa report: this verb is one process"),
        (["train", *TINY, "--multirun", "seed=1,2"], "ofa train: --multirun is many trainings, and 2 processes share"),
        (["train", *TINY, "train.epochs=-1"], "ofa train: train.epochs=-1 must be a whole number"),
        (["train", *TINY, "train.epoch=1"], "ofa train: "),
        (["train", *TINY, "train.batch_size=1"], "ofa train: batch_size=1 is shared by 2 processes: give at least 2\n"),
    ],
    ids=lambda value: " ".join(value[-1:]) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_in_one_line(arguments: list[str], line: str, tmp_path: Path) -> None:
    codes, voices = run(2, tmp_path, *arguments)
    assert codes == [2, 2] and voices[1] == ""
    assert voices[0].splitlines()[-1].startswith(line.rstrip()) and voices[0].count("ofa ") == 1
    assert not list(tmp_path.rglob("checkpoint*"))


def test_names_of_ranks_that_are_no_numbers(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (("RANK", "first"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "here")):
        monkeypatch.setenv(name, value)
    assert main(["train", *TINY]) == 2
    assert "RANK='first', WORLD_SIZE='2' of the environment must be whole numbers" in capsys.readouterr().err


@pytest.mark.slow
def test_a_kill_of_one_ends_all_and_any_number_resumes(tmp_path: Path) -> None:
    long = ["train", *TINY, "train.epochs=10", "train.validate_every=0", "train.ema=0.9"]
    long += ["train.checkpoint_seconds=0.1"]
    (tmp_path / "whole").mkdir()
    assert run(2, tmp_path / "whole", *long)[0] == [0, 0]
    checkpoint = tmp_path / "outputs/tiny/supernet/checkpoint.safetensors"
    for killed in (1, 0):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        children = start(2, tmp_path, *long)
        until = time.monotonic() + 120  # a kill before they have joined would leave the other waiting for them
        while not (checkpoint.exists() and checkpoint.stat().st_mtime_ns > before) and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(children[killed], signal.SIGKILL)
        codes = ended(children)
        assert codes[killed] == -signal.SIGKILL and codes[1 - killed] not in (0, -signal.SIGKILL)
        assert killed == 0 or "another process of the training ended" in said(tmp_path, 0)
    shutil.copytree(tmp_path / "outputs", tmp_path / "three/outputs")
    assert run(2, tmp_path, *long)[0] == [0, 0]
    weights = "outputs/tiny/supernet/model.safetensors"
    assert same_weights(tmp_path / weights, tmp_path / "whole" / weights)
    assert run(3, tmp_path / "three", *long)[0] == [0, 0, 0]


@pytest.mark.slow
def test_torchrun_starts_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "search.app.main"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "train", *TINY], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("train: 16/16") == 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are found in /proc")
def test_no_thread_of_the_group_outlives_it(tmp_path: Path) -> None:
    """One that does aborts a process in twenty: it wants an interpreter that is gone."""
    program = tmp_path / "program.py"
    program.write_text(
        "import pathlib, sys\n"
        "from search.app.main import main\n"
        "code = main(sys.argv[1:])\n"
        "names = [path.read_text().strip() for path in pathlib.Path('/proc/self/task').glob('*/comm')]\n"
        "sys.exit(code or 90 * any('gloo' in name for name in names))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", str(program)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "train", *TINY], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
