"""Which of a run's searches a verb is about."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ofa.errors import InvalidInput
from search.run.contents import (
    README,
    begun_searches,
    commands_of,
    complete_searches,
    pick,
    searches_to_use,
    unfinished_searches,
)
from search.run.paths import RunFolder, SearchFolder
from search.run.stages import Stage, written
from search.training.loggers import LOGS

NAMES = ["laptop", "laptop-1ms", "laptop-1ms+phone-4ms", "long", "phone-4ms"]


def test_a_device_has_its_own_searches_and_those_for_several() -> None:
    run = RunFolder(Path("outputs/main"))
    assert pick(NAMES, run) == NAMES
    assert pick(NAMES, run, device="laptop") == ["laptop", "laptop-1ms", "laptop-1ms+phone-4ms"]
    assert pick(NAMES, run, device="phone") == ["laptop-1ms+phone-4ms", "phone-4ms"]
    assert pick(NAMES, run, study="laptop-1ms+phone-4ms") == ["laptop-1ms+phone-4ms"]
    with pytest.raises(InvalidInput, match=r"device=1ms: .* has no such search"):
        pick(NAMES, run, device="1ms")


def test_stages_keep_their_order_when_a_run_is_copied_without_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(tmp_path / "main")
    outputs = [run.search(name) for name in ("laptop", "phone", "board")]
    outputs += [run.pruned / "slim", run.pruned / "coarse", run.compressed / "small", run.compressed / "coded"]
    for output in outputs:
        monkeypatch.setattr("search.run.stages.command_line", lambda made=output: f"ofa {made.name}")
        with written(Stage("any", output, {})) as folder:
            SearchFolder(folder).journal.write_text("")
            SearchFolder(folder).finalists.write_text("")
    named = [f"ofa {output.name} outputs={tmp_path}" for output in outputs]
    assert begun_searches(run) == ["laptop", "phone", "board"] and commands_of(run) == named
    copy = RunFolder(tmp_path / "copied" / "main")
    shutil.copytree(run.root, copy.root)
    for age, path in enumerate(sorted(copy.root.rglob("*"))):
        os.utime(path, (age, age))
    assert begun_searches(copy) == ["laptop", "phone", "board"]
    assert [line.split(" outputs=")[0] for line in commands_of(copy)] == [f"ofa {output.name}" for output in outputs]


def test_the_readme_of_runs_names_all_that_a_run_holds() -> None:
    run = RunFolder(Path("outputs/main"))
    paths = [getattr(run, name) for name, value in vars(RunFolder).items() if isinstance(value, property)]
    names = [path.name for path in paths if isinstance(path, Path) and path.parent == run.root]
    assert len(names) > 10
    assert [name for name in (*names, LOGS, "studio") if f"`{name}" not in README] == []


def test_a_search_whose_extension_was_cut_off_is_used_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(tmp_path / "main")
    with pytest.raises(RuntimeError), written(Stage("search", run.search("phone"), {})) as folder:
        SearchFolder(folder).journal.write_text("")
        raise RuntimeError
    with pytest.raises(InvalidInput, match=r"no search to use: .*\(phone is not finished: the same ofa search goes on"):
        searches_to_use(run)
    with written(Stage("search", run.search("laptop"), {}, amount=4)) as folder:
        SearchFolder(folder).journal.write_text("")
        SearchFolder(folder).finalists.write_text("")
    assert searches_to_use(run) == ["laptop"] and not capsys.readouterr().out
    with pytest.raises(RuntimeError), written(Stage("search", run.search("laptop"), {}, amount=8)):
        raise RuntimeError
    assert searches_to_use(run) == complete_searches(run) == ["laptop"]
    assert unfinished_searches(run) == ["laptop", "phone"]
    said = capsys.readouterr()
    assert "laptop was not extended to the end: used is what it chose before" in said.out + said.err
    with pytest.raises(InvalidInput, match=r"device=phone: .* \(phone is not finished"):
        searches_to_use(run, device="phone")
