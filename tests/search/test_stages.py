"""Stages: skipped when complete, resumed when cut off, refused when of something else, replaced only when done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ofa import InvalidInput
from search.stages import Stage, is_complete, is_needed, stamp_path, written


def stage(folder: Path, amount: int = 0, digest: str = "abc", **config: Any) -> Stage:
    return Stage("search", folder, config, {"supernet": digest}, amount)


def test_complete_stage_is_skipped_and_a_begun_one_goes_on(tmp_path: Path) -> None:
    made = stage(tmp_path / "out", epochs=3)
    assert is_needed(made)
    with pytest.raises(KeyboardInterrupt), written(made) as target:
        (target / "checkpoint").write_text("half")
        raise KeyboardInterrupt
    assert is_needed(made)
    assert not is_complete(made.output)
    with written(made) as target:
        assert (target / "checkpoint").read_text() == "half"
    assert not is_needed(made)
    assert is_complete(made.output)


def test_other_configuration_is_named_key_by_key(tmp_path: Path) -> None:
    with written(stage(tmp_path / "out", train={"epochs": 3, "lr": 0.1})):
        pass
    with pytest.raises(InvalidInput, match=r"train\.epochs=3 there, 4 now.*run=NAME.*force=true"):
        is_needed(stage(tmp_path / "out", train={"epochs": 4, "lr": 0.1}))
    with pytest.raises(InvalidInput, match=r"from another supernet \(abc there, xyz now\)"):
        is_needed(stage(tmp_path / "out", digest="xyz", train={"epochs": 3, "lr": 0.1}))


def test_more_of_the_same_goes_on_and_less_is_done(tmp_path: Path) -> None:
    with written(stage(tmp_path / "out", amount=10)):
        pass
    assert not is_needed(stage(tmp_path / "out", amount=5))
    assert is_needed(stage(tmp_path / "out", amount=20))


def test_force_replaces_only_when_done(tmp_path: Path) -> None:
    old, new = stage(tmp_path / "out", epochs=3), stage(tmp_path / "out", epochs=4)
    with written(old) as target:
        (target / "model").write_text("old")
    with pytest.raises(RuntimeError), written(new, force=True) as target:
        (target / "model").write_text("half")
        raise RuntimeError
    assert (old.output / "model").read_text() == "old"
    assert not is_needed(old)
    with written(new, force=True) as target:
        assert (target / "model").read_text() == "half"  # the same forced stage goes on
        (target / "model").write_text("new")
    assert (old.output / "model").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    with written(new, force=True) as target:
        assert not (target / "model").exists()  # a complete one begins anew


def test_file_output_is_replaced_with_its_stamp(tmp_path: Path) -> None:
    for text in ("1", "2"):
        made = stage(tmp_path / "profile.json", text=text)
        with written(made, force=True) as target:
            target.write_text(text)
    assert made.output.read_text() == "2"
    assert json.loads(stamp_path(made.output).read_text())["config"] == {"text": "2"}
    assert len(list(tmp_path.iterdir())) == 2


def test_error_that_leaves_nothing_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput), written(stage(tmp_path / "run/out", epochs=0)):
        raise InvalidInput("epochs=0")
    assert list(tmp_path.iterdir()) == []


def test_damaged_stamp_is_named(tmp_path: Path) -> None:
    made = stage(tmp_path / "out")
    with written(made):
        pass
    stamp_path(made.output).write_text('{"complete": tr')
    with pytest.raises(InvalidInput, match=r"stage\.json is damaged"):
        is_needed(made)
