"""A subnet's folder appears whole or not at all, and the one before is never lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ofa.errors import InvalidInput
from search.networks.folder import SubnetFolder, replaced


def write(root: Path, text: str) -> None:
    with replaced(root) as building:
        building.card.write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_appears_with_its_files_and_replaces_the_one_before(tmp_path: Path):
    write(tmp_path / "deep" / "net", "first")
    write(tmp_path / "deep" / "net", "second")
    assert SubnetFolder(tmp_path / "deep" / "net").card.read_text() == "second"
    assert names(tmp_path / "deep") == ["net"]


def test_a_failure_leaves_the_one_before(tmp_path: Path):
    write(tmp_path / "net", "first")
    with pytest.raises(RuntimeError), replaced(tmp_path / "net") as building:
        building.card.write_text("half")
        raise RuntimeError
    assert SubnetFolder(tmp_path / "net").card.read_text() == "first"
    assert names(tmp_path) == ["net"]


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_failing_rename_leaves_the_one_before(tmp_path: Path, monkeypatch, fails_at):
    write(tmp_path / "net", "first")
    real, count = os.replace, iter(range(1, 100))

    def failing(source, target):
        if next(count) == fails_at:
            raise OSError("disk")
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="disk"):
        write(tmp_path / "net", "second")
    assert SubnetFolder(tmp_path / "net").card.read_text() == "first"
    assert names(tmp_path) == ["net"]


def test_a_kill_between_the_renames_is_undone(tmp_path: Path):
    write(tmp_path / "net", "first")
    folder = SubnetFolder(tmp_path / "net")
    os.replace(folder.root, folder.aside)
    left = tmp_path / ".net.ofa-0123456789abcdef.tmp"  # as a killed writer names it
    left.mkdir()
    (left / "card.json").write_text("half")
    folder.restore()
    assert folder.card.read_text() == "first"
    write(tmp_path / "net", "second")
    assert folder.card.read_text() == "second"
    assert names(tmp_path) == ["net"]


def test_what_is_not_a_subnets_folder_is_not_replaced(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInput, match="mine holds other files"):
        write(tmp_path / "mine", "card")
    with pytest.raises(InvalidInput, match="file is a file"):
        write(tmp_path / "file", "card")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"
    assert names(tmp_path) == ["file", "mine"]
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", "card")
