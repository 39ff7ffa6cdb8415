"""What Hydra composes in tests is what the files say, each time anew."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, open_dict


def composed(folder: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(folder), version_base="1.3"):
        return compose("all", list(overrides))


def test_a_file_that_changes_is_read_again_and_a_configuration_is_the_callers_own(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part/one.yaml").write_text("value: 1\nmore: {inner: [1, 2]}\n")
    (tmp_path / "all.yaml").write_text("defaults:\n  - part: one\n  - _self_\nname: first\n")
    first = composed(tmp_path)
    with open_dict(first):
        first.part.more.inner.append(3)
        first.part.other = 5
    second = composed(tmp_path, "part.value=4")
    assert second == {"part": {"value": 4, "more": {"inner": [1, 2]}}, "name": "first"}
    assert composed(tmp_path).part.value == 1
    (tmp_path / "part/one.yaml").write_text("value: 20\nmore: {inner: []}\n")
    assert composed(tmp_path).part == {"value": 20, "more": {"inner": []}}
    (tmp_path / "part/two.yaml").write_text("value: 3\n")
    assert composed(tmp_path, "part=two").part == {"value": 3}
