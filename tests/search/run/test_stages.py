"""Stages: skipped when complete, resumed when cut off, refused when of something else, replaced only when done."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ofa import InvalidInput
from ofa.paths import temporary_name, write_atomic
from search.run import stages
from search.run.locks import claimed
from search.run.stages import Stage, is_complete, is_needed, stamp_path, written
from tests.record_files import rewrite


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


def test_how_many_processes_read_the_data_is_no_other_configuration(tmp_path: Path) -> None:
    def reading(target: str, workers: int) -> Stage:
        dataset = {"_target_": target, "num_workers": workers}
        return stage(tmp_path / target, train={"epochs": 3}, data={"dataset": dataset})

    with written(reading("ofa.data.from_dataset", 2)):
        pass
    assert not is_needed(reading("ofa.data.from_dataset", 0))
    with written(reading("mine.rows", 2)):
        pass
    with pytest.raises(InvalidInput, match=r"data\.dataset\.num_workers=2 there, 0 now"):
        is_needed(reading("mine.rows", 0))


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


def test_edited_stamp_is_named_and_force_redoes_it(tmp_path: Path) -> None:
    made = stage(tmp_path / "out", epochs=3)
    with written(made):
        pass
    path = stamp_path(made.output)
    path.write_text(path.read_text().replace('"epochs": 3', '"epochs": 4'))
    with pytest.raises(InvalidInput, match=r"stage\.json was edited after it was written.*force=true"):
        is_needed(made)
    assert is_needed(made, force=True)
    rewrite(path, lambda stamp: stamp.update(amount="many"))
    with pytest.raises(InvalidInput, match=r"expected `int`, got `str` at `amount`"):
        is_complete(made.output)


def test_force_begins_anew_where_the_stamp_of_what_it_began_is_damaged(tmp_path: Path) -> None:
    made = stage(tmp_path / "out")
    with pytest.raises(RuntimeError), written(made, force=True) as target:
        (target / "model").write_text("half")
        raise RuntimeError
    stamp_path(target).write_text("{")
    with written(made, force=True) as target:
        assert not (target / "model").exists()


def test_a_stage_that_goes_on_removes_what_its_killed_writer_left(tmp_path: Path) -> None:
    made = stage(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt), written(made):
        raise KeyboardInterrupt
    half = temporary_name(made.output / "deep/model.safetensors")
    half.parent.mkdir()
    half.write_text("half")
    with written(made):
        assert not half.exists()


@pytest.mark.parametrize("name", ["output", "output.json"])
@pytest.mark.parametrize("moment", range(1, 6))
def test_killed_while_a_forced_output_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, moment: int
) -> None:
    """What was made is there, with its own stamp and nothing beside it, whichever of the last renames was the last."""

    def make(text: str, config: dict[str, Any], *, force: bool = False) -> None:
        stage = Stage("s", tmp_path / name, config)
        with written(stage, force=force) as target:
            write_atomic(target if name.endswith(".json") else target / "file", text.encode())

    make("old", {"key": 1})
    replaced = stages._replace
    left = moment

    class Killed(BaseException):
        pass

    def dying(call: Any) -> Any:
        def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return call(*arguments, **options)

        return counted

    def replace(*paths: Path) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", dying(Path.replace))
            patch.setattr(Path, "unlink", dying(Path.unlink))
            patch.setattr(stages, "remove_output", dying(stages.remove_output))
            replaced(*paths)

    monkeypatch.setattr(stages, "_replace", replace)
    with suppress(Killed):
        make("new", {"key": 2}, force=True)
    monkeypatch.setattr(stages, "_replace", replaced)
    place = tmp_path / name
    content = place if name.endswith(".json") else place / "file"
    if stage_is_there(Stage("s", place, {"key": 2})):
        assert content.read_text() == "new"
        assert not list(tmp_path.glob("*new*"))
    else:
        assert content.read_text() == "old"


def stage_is_there(stage: Stage) -> bool:
    """Whether the next call of a stage has nothing to do; another one may be there instead."""
    try:
        with claimed(stage) as needed:
            return not needed
    except InvalidInput:
        return False


def test_a_forced_output_that_made_nothing_leaves_no_stamp(tmp_path: Path) -> None:
    made = Stage("s", tmp_path / "output.json", {})
    with pytest.raises(KeyboardInterrupt), written(made, force=True):
        raise KeyboardInterrupt
    with written(made) as target:
        write_atomic(target, b"{}")
    assert {path.name for path in tmp_path.iterdir()} == {"output.json", "output.stage.json"}
