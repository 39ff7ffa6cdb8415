"""Whole files of the script: temporary names, leftovers, and the same checksum as records have."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from ofa.records import checksum_of
from search.device.standalone.files import content_checksum, create_unfinished, record_text, write_whole


def test_a_planted_link_is_never_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "victim").write_text("mine")
    names = iter(["0" * 16, "1" * 16])
    monkeypatch.setattr("secrets.token_hex", lambda count: next(names))
    os.symlink(tmp_path / "victim", tmp_path / f".a.json.ofa-{'0' * 16}.tmp")
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "a.json", "new")
    assert (tmp_path / "victim").read_text() == "mine"
    write_whole(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text() == "new"


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path):
    write_whole(tmp_path / "a.json", "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "a.json", "\ud800")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


def test_leftovers_of_dead_writers_go_and_those_of_living_ones_and_others_stay(tmp_path: Path):
    dead = tmp_path / f".a.json.ofa-{'0' * 16}.tmp"
    dead.write_text("half")
    others = tmp_path / f".b.json.ofa-{'0' * 16}.tmp", tmp_path / ".a.json.99.tmp"
    for path in others:
        path.write_text("mine")
    descriptor, living = create_unfinished(tmp_path / "a.json")
    try:
        assert re.fullmatch(r"\.a\.json\.ofa-[0-9a-f]{16}\.tmp", living.name)
        write_whole(tmp_path / "a.json", "new")
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            ["a.json", living.name, *(path.name for path in others)]
        )
    finally:
        os.close(descriptor)


def test_the_mode_follows_the_umask(tmp_path: Path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a.json", "new")
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640


def test_its_checksum_is_the_one_of_records():
    content = {"kind": "x", "version": 1, "b": [1.5e-7, 2, None], "a": {"\u00e9": True}}
    assert content_checksum({**content, "checksum": "0"}) == checksum_of(content)
    with pytest.raises(ValueError):
        record_text("x", 1, {"a": float("nan")})
