"""The guard of stages: one process writes an output, a second is refused by name, and a dead one keeps nobody out."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from ofa import InvalidInput
from ofa.records import read_record
from search.app.main import main
from search.run import stages
from search.run.file_lock import held, is_free
from search.run.locks import claimed, lock_of
from search.run.stages import Stage, Stamp, is_complete, was_cut_off_replacing, written

pytest.importorskip("fcntl")
FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.run.file_lock.QUIET_SECONDS", 0.05)


@contextmanager
def elsewhere(work: Callable[[Connection], object]) -> Iterator[tuple[BaseProcess, Connection]]:
    """Another process that does some work, and the line to it; it is killed in the end."""
    here, there = FORK.Pipe()
    process = FORK.Process(target=work, args=(there,))
    process.start()
    there.close()
    try:
        yield process, here
    finally:
        kill(process)


def kill(process: BaseProcess) -> None:
    process.kill()
    process.join()


@contextmanager
def held_elsewhere(lock: Path) -> Iterator[BaseProcess]:
    """Another process that holds a lock until it is killed."""

    def hold(line: Connection) -> None:
        with held(lock):
            line.send("held")
            line.recv()

    with elsewhere(hold) as (process, line):
        assert line.recv() == "held"
        yield process


def stage(folder: Path, name: str = "train", **config: int) -> Stage:
    return Stage(name, folder, config)


@pytest.mark.parametrize("name", ["out", "sparsity=0.9", "profile.json"])
@pytest.mark.parametrize("force", [False, True])
def test_a_second_process_is_refused_by_the_pid_of_the_first(name: str, force: bool, tmp_path: Path) -> None:
    asked = stage(tmp_path / "run" / name)
    with held_elsewhere(lock_of(asked.output)) as owner:
        with (
            pytest.raises(InvalidInput, match=rf"is being trained by another process \(pid {owner.pid}\).*run=NAME"),
            claimed(asked, force=force),
        ):
            pass
        kill(owner)
        with claimed(asked, force=force) as needed:  # nothing of a dead owner is in the way
            assert needed
    assert not (tmp_path / "run").exists()


def test_one_of_another_configuration_is_told_of_the_process_and_not_of_force(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), written(stage(tmp_path / "out", epochs=3)) as target:
        (target / "checkpoint").write_text("half")
        raise KeyboardInterrupt
    with held_elsewhere(lock_of(tmp_path / "out")) as owner:
        for force in (False, True):
            with (
                pytest.raises(InvalidInput, match=rf"pid {owner.pid}\)"),
                claimed(stage(tmp_path / "out", epochs=4), force=force),
            ):
                pass
    with pytest.raises(InvalidInput, match="epochs=3 there, 4 now"), claimed(stage(tmp_path / "out", epochs=4)):
        pass


def test_what_is_complete_is_nobodys(tmp_path: Path) -> None:
    with written(stage(tmp_path / "out")):
        pass
    with held_elsewhere(lock_of(tmp_path / "out")), claimed(stage(tmp_path / "out")) as needed:
        assert not needed


def test_who_waits_takes_what_the_other_has_made(tmp_path: Path) -> None:
    asked, told = stage(tmp_path / "out"), []

    def second() -> None:
        with claimed(asked, waits=True) as needed:
            told.append(needed)

    with claimed(asked) as needed:
        assert needed
        thread = threading.Thread(target=second)
        thread.start()
        with written(asked) as target:
            (target / "model").write_text("1")
    thread.join()
    assert told == [False]


def test_a_lock_is_no_link_to_another_file(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    lock_of(tmp_path / "out").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="out"), claimed(stage(tmp_path / "out")):
        pass
    assert (tmp_path / "precious").read_text() == "mine"


@contextmanager
def replacing_elsewhere(output: Path, moment: int) -> Iterator[tuple[BaseProcess, Connection]]:
    """Another process that makes an output by force and waits for a word before a certain step of the exchange."""

    def replace_slowly(line: Connection) -> None:
        asked, replace, steps = stage(output), stages._replace, itertools.count(1)
        with claimed(asked), written(asked) as target:
            (target if output.suffix else target / "model").write_text("old")

        def paused(call: Callable[..., object]) -> Callable[..., object]:
            def called(*arguments: object, **options: object) -> object:
                if next(steps) == moment:
                    line.send("paused")
                    line.recv()
                return call(*arguments, **options)

            return called

        def slowly(*paths: Path) -> None:
            for name in ("replace", "unlink"):
                setattr(Path, name, paused(getattr(Path, name)))
            replace(*paths)

        stages._replace = slowly
        with claimed(asked, force=True), written(asked, force=True) as target:
            (target if output.suffix else target / "model").write_text("new")

    with elsewhere(replace_slowly) as (process, line):
        assert line.recv() == "paused"
        yield process, line


@pytest.mark.parametrize(("name", "moment"), [("out", 4), ("out.json", 2), ("out.json", 3)])
def test_only_a_dead_owners_exchange_is_ended_by_others(name: str, moment: int, tmp_path: Path) -> None:
    """While the process that forces an output lives, a plain call leaves its renames to it."""
    asked = stage(tmp_path / name)
    content = asked.output if asked.output.suffix else asked.output / "model"
    with replacing_elsewhere(asked.output, moment) as (owner, line):
        before = sorted(tmp_path.rglob("*"))
        assert was_cut_off_replacing(asked.output)
        with pytest.raises(InvalidInput, match=rf"\(pid {owner.pid}\)"), claimed(asked):
            pass
        assert sorted(tmp_path.rglob("*")) == before
        line.send("go on")
        owner.join()
        assert owner.exitcode == 0
    assert content.read_text() == "new"
    with replacing_elsewhere(asked.output, moment) as (owner, _):
        kill(owner)
        with claimed(asked) as needed:
            assert not needed
    assert content.read_text() == "new"
    assert not list(tmp_path.glob("*new*"))


TRAIN = ["train", "experiment=tiny", "train.epochs=1"]


@contextmanager
def stopped_training(outputs: Path) -> Iterator[BaseProcess]:
    """A real `ofa train`, stopped as soon as it has its output in hand."""

    def train(_: Connection) -> None:
        sys.exit(main([*TRAIN, f"outputs={outputs}"]))

    with elsewhere(train) as (job, _):
        while is_free(outputs / "tiny/supernet.lock") and job.is_alive():
            time.sleep(0.002)
        signal_to(job, signal.SIGSTOP)
        yield job


def signal_to(job: BaseProcess, number: signal.Signals) -> None:
    assert job.pid is not None
    os.kill(job.pid, number)


def test_two_trainings_of_one_run_end_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = [*TRAIN, f"outputs={tmp_path}"]
    with stopped_training(tmp_path) as job:
        for more in ([], ["force=true"], ["seed=5"], ["seed=5", "force=true"]):
            assert main([*again, *more]) == 2
            line = capsys.readouterr().err.splitlines()[-1]
            assert f"supernet is being trained by another process (pid {job.pid})" in line
        signal_to(job, signal.SIGCONT)
        job.join()
        assert job.exitcode == 0
    assert "seed: 0" in (tmp_path / "tiny/supernet/config.yaml").read_text()
    assert read_record(tmp_path / "tiny/supernet/stage.json", Stamp).complete
    assert sorted(path.name for path in (tmp_path / "tiny").iterdir()) == ["live.html", "supernet"]
    assert main(again) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_a_training_whose_owner_was_killed_goes_on(tmp_path: Path) -> None:
    with stopped_training(tmp_path) as job:
        kill(job)
        assert main([*TRAIN, f"outputs={tmp_path}"]) == 0
    assert is_complete(tmp_path / "tiny/supernet")
    assert sorted(path.name for path in (tmp_path / "tiny").iterdir()) == ["live.html", "supernet"]
