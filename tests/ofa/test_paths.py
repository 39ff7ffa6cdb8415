import json
from pathlib import Path

import pytest

from ofa import InvalidInput
from ofa.errors import nearest
from ofa.paths import read_json, write_atomic, write_json


def test_json_round_trip_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    write_json(path, {"a": [1, 2.5, None]})
    assert read_json(path) == {"a": [1, 2.5, None]}
    assert [found.name for found in path.parent.iterdir()] == ["file.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))
    with pytest.raises(TypeError):
        write_atomic(path, "text")  # type: ignore[arg-type]
    assert json.loads(path.read_text()) == 1
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_damaged_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"file\.json is damaged"):
        read_json(path)
    with pytest.raises(InvalidInput, match="does not exist"):
        read_json(tmp_path / "none.json")


def test_nearest_names() -> None:
    assert nearest("resnet2", ["lenet5", "zebra", "resnet20"]).startswith("did you mean resnet20")
    assert nearest("zzz", ["a", "b"]) == "choices: a, b"
    assert nearest("zzz", []) == "there are none to choose from"
