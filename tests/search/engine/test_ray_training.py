"""Trainings whose processes are workers of Ray Train; without Ray, processes whose group is joined as Ray does."""

from __future__ import annotations

import importlib
import os
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import search.engine._ray_training as module
from ofa.errors import InvalidInput
from search.app.main import main
from search.engine import Command, ray_training
from search.engine._ray import cluster
from search.engine._ray_training import WorkerEnded
from search.engine.command import ANOTHER_ENDED
from tests.search.app.command import ROOT, run_ofa
from tests.search.app.test_ranks import TINY, ended, free_port, run, same_weights

WEIGHTS = Path("outputs/tiny/supernet/model.safetensors")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "engine.workers=0 must be a whole number of at least 1"),
        ({"retries": -1}, "engine.retries=-1 must be a whole number of at least 0"),
        ({"cpus_per_worker": -1}, "engine.cpus_per_worker=-1 must be a number of at least 0"),
        ({"gpus_per_worker": 0.25}, "engine.gpus_per_worker=0.25 must be a whole number: each process of a training"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        ray_training(Command("train", (), tmp_path), **options)


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    assert main(["train", *TINY, "engine=ray"]) == 2
    assert capsys.readouterr().err.startswith("ofa train: engine=ray needs Ray: pip install 'ofa-search[ray]'")


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library with a cluster of two cores, which ends the process by SIGTERM as Ray does."""

    def begin(**options: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(number))

    library = SimpleNamespace(
        is_initialized=lambda: False, init=begin, cluster_resources=lambda: {"CPU": 2.0}, shutdown=lambda: None
    )
    imported = importlib.import_module
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr("importlib.import_module", lambda name: library if name == "ray" else imported(name))


@pytest.mark.usefixtures("two_cores")
def test_more_than_the_cluster_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r"engine\.workers=4 with engine\.cpus_per_worker=1 train at once, and the clus"
    ):
        ray_training(Command("train", (), tmp_path), workers=4)
    with pytest.raises(
        InvalidInput, match=r"engine\.gpus_per_worker=1 train at once, and the cluster has 0 GPUs in all"
    ):
        ray_training(Command("train", (), tmp_path), workers=1, gpus_per_worker=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("two_cores")
def test_a_signal_ends_it_as_without_ray() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with cluster("auto"):
        assert signal.getsignal(signal.SIGTERM) is before


class Failed(Exception):
    """As Ray Train's error, which has what became of each worker that did not end well."""

    def __init__(self, *failures: int | Exception) -> None:
        made = [each if isinstance(each, Exception) else WorkerEnded(each) for each in failures]
        super().__init__("Training failed due to worker errors")
        self.worker_failures = dict(enumerate(made))


LOST = RuntimeError("the actor died")


@pytest.mark.parametrize(
    ("ends", "retries", "code", "error"),
    [
        ([None], 0, 0, None),
        ([Failed(2)], 2, 2, None),
        ([Failed(ANOTHER_ENDED, 1)], 2, 1, None),
        ([Failed(LOST), None], 1, 0, None),
        ([Failed(2, LOST), Failed(ANOTHER_ENDED), None], 2, 0, None),
        ([Failed(LOST), Failed(LOST)], 1, 0, "a worker was killed, or its machine lost, 2 times"),
        ([RuntimeError("no\nplace")], 2, 0, "no place"),
    ],
    ids=[
        "trained",
        "refused",
        "the one with the reason",
        "resumed",
        "resumed twice",
        "died too often",
        "of Ray itself",
    ],
)
def test_what_follows_from_the_ends_of_workers(
    ends: list[Exception | None], retries: int, code: int, error: str | None
) -> None:
    left = list(ends)

    def fit() -> None:
        if (end := left.pop(0)) is not None:
            raise end

    training = module._Training(fit, retries)
    training.run()
    assert (training.code, left) == (code, [])
    assert training.error is None if error is None else str(training.error).startswith(error)


def start_workers(count: int, folder: Path, work: Callable[[int], Any]) -> list[int]:
    """Starts processes whose group is joined before they work, in a thread, as those of Ray Train."""
    port = str(free_port())
    children = []
    for rank in range(count):
        if child := os.fork():
            children.append(child)
            continue
        code = 70
        try:
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OFA_STARTED_BY_ENGINE": "ray"}
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
            torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=120))
            codes: list[int] = []

            def call(rank: int = rank, codes: list[int] = codes) -> None:
                try:
                    work(rank)
                    codes.append(0)
                except WorkerEnded as end:
                    codes.append(end.code)

            thread = threading.Thread(target=call)
            thread.start()
            thread.join()
            code = codes[0]
        finally:
            os._exit(code)
    return children


def worker(folder: Path, *words: str) -> Callable[[int], None]:
    work = module._Worker("train", words, folder, str(folder), ())
    return lambda rank: work()


def test_workers_train_as_processes_of_torchrun(tmp_path: Path) -> None:
    for name in ("ray", "ranks"):
        (tmp_path / name).mkdir()
    assert ended(start_workers(2, tmp_path / "ray", worker(tmp_path / "ray", *TINY, "engine=ray"))) == [0, 0]
    said = [(tmp_path / "ray" / f"said_{rank}.txt").read_text() for rank in range(2)]
    assert said[0].count("train: 16/16") == 1 and said[1] == ""
    assert run(2, tmp_path / "ranks", "train", *TINY)[0] == [0, 0]
    assert same_weights(tmp_path / "ray" / WEIGHTS, tmp_path / "ranks" / WEIGHTS)


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("train.batch_size=1", "ofa train: batch_size=1 is shared by 2 processes: give at least 2\n"),
        ("train.device=cuda", "ofa train: device=cuda: 2 processes of this machine share 0 GPUs"),
    ],
)
def test_an_error_of_all_is_said_once(word: str, line: str, tmp_path: Path) -> None:
    if "cuda" in word and torch.cuda.is_available():
        pytest.skip("there is one")
    assert ended(start_workers(2, tmp_path, worker(tmp_path, *TINY, word))) == [2, 2]
    first, second = ((tmp_path / f"said_{rank}.txt").read_text() for rank in range(2))
    assert first.splitlines()[-1].startswith(line.rstrip()) and second == ""


def test_who_lost_another_is_not_heard_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    first = worker(tmp_path, *TINY)

    def work(rank: int) -> None:
        if rank == 1:
            os._exit(9)
        first(rank)

    assert ended(start_workers(2, tmp_path, work)) == [ANOTHER_ENDED, 9]
    assert (
        (tmp_path / "said_0.txt")
        .read_text()
        .endswith("another process of the training ended; it says why, or was killed\n")
    )


@pytest.fixture
def ray_here() -> None:
    pytest.importorskip("ray.train.torch")


@pytest.mark.slow
@pytest.mark.long  # a cluster takes a minute to begin
@pytest.mark.usefixtures("ray_here")
def test_two_workers_of_ray_train_as_two_of_torchrun(tmp_path: Path) -> None:
    """The whole command, in a process of its own."""
    (tmp_path / "ranks").mkdir()
    on_ray = ["engine=ray", "engine.address=local", "engine.workers=2", "engine.cpus_per_worker=0.5"]
    variables = {"RAY_raylet_start_wait_time_s": "300", "PYTHONPATH": os.pathsep.join([str(ROOT), *_found_by_python()])}
    code, _, said = run_ofa(["train", *TINY, *on_ray], tmp_path, **variables)
    assert code == 0, said
    assert "train: 2 workers of Ray Train" in said and said.count("train: 16/16") == 1
    assert run(2, tmp_path / "ranks", "train", *TINY)[0] == [0, 0]
    assert same_weights(tmp_path / WEIGHTS, tmp_path / "ranks" / WEIGHTS)
    assert not list((tmp_path / "outputs/.engine").iterdir())


def _found_by_python() -> list[str]:
    return [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
