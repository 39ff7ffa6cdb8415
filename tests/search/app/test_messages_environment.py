"""Faults of the machine: exit code 2, a line with path and remedy, and what was there stays."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from search.app.main import main
from search.app.messages import FAULTS, explain_environment
from search.study.journal import Journal
from tests.search.app.command import ofa_fork

TRAIN = ["train", "experiment=tiny", "train.epochs=1"]


@pytest.mark.parametrize("number", FAULTS, ids=lambda number: errno.errorcode[number])
def test_every_fault_has_its_path_and_a_remedy(number: int) -> None:
    line = explain_environment(OSError(number, os.strerror(number), "outputs/main/x.json"))
    assert line == "outputs/main/x.json: " + ": ".join(FAULTS[number])
    bare = explain_environment(OSError(number, os.strerror(number)), "outputs")
    assert bare is not None
    if number != errno.ENOENT:
        assert bare.startswith("outputs: ")


def test_what_is_no_fault_of_the_machine_is_not_explained() -> None:
    assert explain_environment(RuntimeError("shape mismatch")) is None
    assert explain_environment(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None


def test_out_of_memory_says_what_needs_less() -> None:
    with pytest.raises(RuntimeError) as asked:
        torch.empty(1 << 55)
    for error in (asked.value, MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")):
        line = explain_environment(error)
        assert line is not None
        assert line.startswith("out of memory")
        assert "batch_size" in line
    assert "2.00 GiB were requested" in line


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained supernet."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("trained")
        patch.chdir(folder)
        assert main(TRAIN) == 0
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_fails_leaves_what_was_there(
    number: int, trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    before = contents(trained / "outputs/tiny/supernet")

    def fails(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fails)
        assert main([*TRAIN, "force=true"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("ofa train: outputs/tiny/supernet.new/stage.json: ")
    assert line.endswith(": ".join(FAULTS[number]))
    assert contents(trained / "outputs/tiny/supernet") == before


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("search.run.file_lock.fcntl.flock", fails)
    assert main(TRAIN) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "outputs/tiny/supernet.lock: the file system gives no locks: use outputs=FOLDER on a local disk" in line


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run=" + "r" * 300, "the name is too long for the file system: shorten run=, study=, name= or outputs="),
        ("outputs=a_file", "a file stands where a folder is needed"),
    ],
)
def test_outputs_that_cannot_be(
    override: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").write_text("mine")
    assert main([*TRAIN, override]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert contents(tmp_path) == {"a_file": b"mine"}


def test_a_limit_of_size_is_met_for_real_and_the_same_command_goes_on(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))  # less than the weights
    try:
        with ofa_fork(TRAIN, tmp_path) as (job, said):
            job.join()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    err = said.read_text()
    assert job.exitcode == 2, err
    assert "outputs/tiny/supernet/" in err.splitlines()[-1]
    assert "the file is larger than may be written" in err.splitlines()[-1]
    assert "Traceback" not in err
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert main(TRAIN) == 0
    assert not list(tmp_path.rglob("*.tmp"))


def fill(path: Path, line: Connection) -> None:
    """Appends to a journal until the disk is full; tells how often it did, which file failed, and how it ends."""
    journal = Journal(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    written = 0
    try:
        while True:
            journal.append_logs([{"op_code": 8, "text": "x" * 70}])
            written += 1
    except OSError as error:
        line.send((written, error.filename, path.read_bytes()[-2:]))


def test_a_journal_on_a_full_disk_ends_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=fill, args=(path, there))
    process.start()
    there.close()
    written, name, end = here.recv()
    process.join()
    assert (name, end) == (str(path), b"}\n")
    assert len(path.read_text().splitlines()) == written
