"""Stored configurations: what was written comes back, and no file makes reading long or large."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ofa.errors import InvalidInput
from search.run.stored_inputs import read_stored_config

CONFIG = {
    "model": {"_target_": "ofa.models.ResNet", "widths": [8, 16]},
    "seed": 0,
    "rate": 1e-3,
    "none": None,
    "on": "yes",
}
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(CONFIG)))
    assert read_stored_config(path) == CONFIG


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (BOMB.encode(), "references"),
        (b"a: " + b"[" * 5_000 + b"]" * 5_000, "nested deeper"),
        (b"".join(b" " * n + b"a:\n" for n in range(200)), "nested deeper"),
        (b"a: !!python/object/apply:os.system [true]", "names a type"),
        (b"a: !!binary aGVsbG8=", "names a type"),
        (b"a: " + b"9" * 5_000, "damaged"),
        (b"a: \xff", "damaged"),
        (b"a: [", "damaged"),
        (b"a: 1\na: 2", "damaged"),
        (b"a: {1: 2, b: 3}", "damaged"),
        (b"a: 1\n---\nb: 2", "damaged"),
        (b"- 1", "no mapping"),
        (b"a: " + b"x" * 2**20, "most that is read"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_anything_else_is_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=reason) as caught:
        read_stored_config(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        read_stored_config(tmp_path / "config.yaml")
