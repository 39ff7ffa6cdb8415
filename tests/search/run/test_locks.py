"""Locks between processes: alone while measuring, together while evaluating, let go by a death, no file left."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from search.run.file_lock import owner_text
from search.run.locks import evaluating, measuring, only_one
from search.run.paths import RunFolder

pytest.importorskip("fcntl")
Lock = Callable[[RunFolder, str], AbstractContextManager[None]]
FORK = multiprocessing.get_context("fork")  # no import of PyTorch for each process


def work(run: RunFolder, log: Path, number: int) -> None:
    """Writes a byte at the begin and at the end of each turn: others must not come between those of a measurement."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for turn in range(12):
        hold, marks = (measuring, b"Mm") if turn % 4 == number else (evaluating, b"Ee")
        with hold(run, "waits"):
            os.write(file, marks[:1])
            time.sleep(0.005)
            os.write(file, marks[1:])


def hold_on(held: AbstractContextManager[None], said: Connection) -> None:
    """Holds a lock until it is killed."""
    with held:
        said.send("held")
        time.sleep(60)


def test_no_job_measures_or_evaluates_while_another_measures(tmp_path: Path) -> None:
    log = tmp_path / "log"
    jobs = [FORK.Process(target=work, args=(RunFolder(tmp_path / "run"), log, number)) for number in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    marks = log.read_bytes()
    assert marks.count(b"M") == 9
    assert marks.count(b"E") == 27
    assert marks.count(b"Mm") == 9  # nothing between the begin and the end of a measurement
    running = 0
    for mark in marks.decode():
        running += {"E": 1, "e": -1}.get(mark, 0)
        assert mark != "M" or running == 0


def test_evaluations_run_side_by_side(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with evaluating(run, "waits"), evaluating(run, "waits"):
        pass


def test_who_wants_to_measure_comes_before_new_evaluations(tmp_path: Path) -> None:
    run, order = RunFolder(tmp_path / "run"), []

    def measure() -> None:
        with measuring(run, "waits"):
            order.append("measured")

    def evaluate() -> None:
        with evaluating(run, "waits"):
            order.append("evaluated")

    with evaluating(run, "waits"):
        first = threading.Thread(target=measure)
        first.start()
        while not run.measuring_next.exists():
            time.sleep(0.001)
        time.sleep(0.05)
        second = threading.Thread(target=evaluate)
        second.start()
        time.sleep(0.1)
        assert order == []
    first.join()
    second.join()
    assert order == ["measured", "evaluated"]


def test_a_wait_is_said_once_and_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.run.file_lock.QUIET_SECONDS", 0.0)
    path = tmp_path / "profiles/laptop.lock"
    entered = threading.Event()

    def second() -> None:
        with only_one(path, "profile: waiting"):
            entered.set()

    with only_one(path, "unused"):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.2)
    thread.join()
    assert entered.is_set()
    assert capsys.readouterr().err.count("profile: waiting") >= 1
    assert not path.parent.exists()


@contextmanager
def other_process(held: AbstractContextManager[None]) -> Iterator[BaseProcess]:
    """Another process that holds a lock until it is killed."""
    heard, said = FORK.Pipe(duplex=False)
    owner = FORK.Process(target=hold_on, args=(held, said))
    owner.start()
    try:
        assert heard.recv() == "held"
        yield owner
    finally:
        owner.kill()
        owner.join()


def taken(lock: AbstractContextManager[None]) -> threading.Event:
    """Takes and frees a lock in a thread of its own; returns what is set once it had it."""
    entered = threading.Event()

    def take() -> None:
        with lock:
            entered.set()

    threading.Thread(target=take, daemon=True).start()
    return entered


def test_a_killed_owner_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with other_process(only_one(path, "")) as owner:
        entered = taken(only_one(path, "waits"))
        assert not entered.wait(0.1)
        owner.kill()
        assert entered.wait(60)


@pytest.mark.parametrize(("theirs", "ours"), [(measuring, measuring), (measuring, evaluating), (evaluating, measuring)])
def test_a_killed_job_keeps_no_other_waiting(theirs: Lock, ours: Lock, tmp_path: Path) -> None:
    with other_process(theirs(RunFolder(tmp_path), "")) as owner:
        entered = taken(ours(RunFolder(tmp_path), "waits"))
        assert not entered.wait(0.1)
        owner.kill()
        assert entered.wait(60)


def test_another_process_evaluates_beside_this_one(tmp_path: Path) -> None:
    with other_process(evaluating(RunFolder(tmp_path), "")):
        assert taken(evaluating(RunFolder(tmp_path), "waits")).wait(60)


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for lock in (measuring, evaluating, measuring):
        with pytest.raises(ValueError, match="inside"), lock(run, "waits"):
            raise ValueError("inside")
    assert taken(measuring(run, "waits")).wait(60)


def test_files_beside_a_lock_stay(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with measuring(run, "waits"), only_one(run.profile_lock("laptop"), "waits"):
        run.profile("laptop").write_text("{}")
    assert list(run.profiles.iterdir()) == [run.profile("laptop")]


def test_where_nothing_can_be_locked_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.run.file_lock.fcntl", None)
    run = RunFolder(tmp_path)
    with measuring(run, "waits"), evaluating(run, "waits"):
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", [b"", b"\xff\xfe", b"4711 host\nmore", b"4711 \x1b[31m", b"4711 " + b"x" * 100_000, b"\0" * 9]
)
def test_whatever_a_lock_says_its_owner_is_a_short_line(
    text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.run.file_lock.QUIET_SECONDS", 0.0)
    (tmp_path / "a.lock").write_bytes(text)
    said = owner_text(tmp_path / "a.lock")
    assert said.startswith("another process") and said.isprintable() and len(said) < 400


def test_a_pipe_in_the_place_of_a_lock_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.run.file_lock.QUIET_SECONDS", 0.0)
    os.mkfifo(tmp_path / "a.lock")
    assert owner_text(tmp_path / "a.lock") == "another process"
