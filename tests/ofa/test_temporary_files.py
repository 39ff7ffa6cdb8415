"""Temporary files: names that nobody can foresee, no link followed, and nothing left of writers that died."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ofa.paths import atomic_file, remove_leftovers, temporary_folder, temporary_name, write_atomic

KILLED = """
import os, signal, sys
from pathlib import Path
from ofa.paths import atomic_file, temporary_folder
with temporary_folder(Path(sys.argv[1]) / "folder") as folder, atomic_file(Path(sys.argv[1]) / "file") as file:
    (folder / "inside").write_text("half")
    file.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_names_differ_each_time(tmp_path: Path) -> None:
    names = {temporary_name(tmp_path / "a.json").name for _ in range(100)}
    assert len(names) == 100
    assert not any(str(os.getpid()) == part for name in names for part in name.split("."))


def test_a_link_that_was_put_there_is_neither_followed_nor_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, foreseen = tmp_path / "mine", tmp_path / "foreseen"
    mine.write_text("precious")
    foreseen.symlink_to(mine)
    monkeypatch.setattr("ofa.paths.temporary_name", lambda path: foreseen)
    with pytest.raises(FileExistsError):
        write_atomic(tmp_path / "out", b"overwritten")
    assert mine.read_text() == "precious"
    assert foreseen.is_symlink()


def test_files_have_the_rights_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", b"text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    write_atomic(tmp_path / "other", b"text")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_what_a_living_writer_writes_stays_and_so_do_files_of_others(tmp_path: Path) -> None:
    files_of_others = [tmp_path / ".notes.tmp", tmp_path / ".vimrc.12.tmp"]
    for path in files_of_others:
        path.write_text("mine")
    link = temporary_name(tmp_path / "link")
    link.symlink_to(files_of_others[0])
    with atomic_file(tmp_path / "file") as file, temporary_folder(tmp_path / "folder") as folder:
        assert remove_leftovers(tmp_path) == []
        file.write(b"whole")
        (folder / "inside").write_text("whole")
        folder.rename(tmp_path / "folder")
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert (tmp_path / "folder/inside").read_text() == "whole"
    assert all(path.exists() for path in [*files_of_others, link])


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), temporary_folder(tmp_path / "folder"), atomic_file(tmp_path / "file"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
