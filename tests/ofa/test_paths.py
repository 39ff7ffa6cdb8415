import json
from pathlib import Path

import pytest

import ofa.paths
from ofa.errors import nearest
from ofa.paths import temporary_folder, write_atomic, write_json


def test_json_round_trip_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    write_json(path, {"a": [1, 2.5, None]})
    assert json.loads(path.read_text()) == {"a": [1, 2.5, None]}
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))
    with pytest.raises(TypeError):
        write_atomic(path, "text")  # type: ignore[arg-type]
    assert json.loads(path.read_text()) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_nearest_names() -> None:
    assert nearest("resnet2", ["lenet5", "zebra", "resnet20"]).startswith("did you mean resnet20")
    assert nearest("zzz", ["a", "b"]) == "choices: a, b"
    assert nearest("zzz", []) == "there are none to choose from"


def test_a_system_without_such_locks_writes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ofa.paths, "fcntl", None)
    for content in (b"old", b"new"):
        write_atomic(tmp_path / "file", content)
        with temporary_folder(tmp_path / "folder") as folder:
            (folder / "inside").write_bytes(content)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
