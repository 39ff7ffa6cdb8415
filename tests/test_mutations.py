"""The first mutations of the benchmark of damaged files, and what the benchmark itself has to be sure of."""

from __future__ import annotations

import random
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.mutated.honest_run import make_runs
from benchmarks.mutated.judge import Judge
from benchmarks.mutated.kinds import KINDS, kinds_of, mutators_of
from benchmarks.mutated.mutation import Source
from benchmarks.mutated.readers import Reader
from benchmarks.mutations import outcomes
from ofa.errors import InvalidInput
from tests.made_once import made_once

pytestmark = pytest.mark.slow

FIRST = 2000


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs that holds every kind of file."""
    return made_once(tmp_path_factory, "mutations", lambda folder: make_runs(folder / "runs")) / "runs"


@pytest.fixture
def judge(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    shutil.copytree(runs, tmp_path / "runs")
    monkeypatch.chdir(tmp_path / "runs")
    return Judge(Path(), 0)


def test_the_first_mutations_are_refused_in_a_line_or_read_as_they_were_written(runs: Path) -> None:
    made = list(outcomes(runs, seed=0, count=FIRST, workers=1, seconds=600))
    assert len(made) == FIRST
    assert [each for each in made if each.is_fault] == []
    assert len({each.kind for each in made}) == len(KINDS)
    assert sum(each.outcome == "refused" for each in made) > FIRST / 2
    by_kind = {kind.name: {each.outcome for each in made if each.kind == kind.name} for kind in KINDS}
    accepting = {kind.name for kind in KINDS if kind.takes != "all"}
    assert all("refused" in found for name, found in by_kind.items() if name not in accepting)


def test_a_file_that_nobody_thought_of_is_missed(judge: Judge) -> None:
    Path("outputs/tiny/search/plain/new_idea.bin").write_bytes(b"1")
    with pytest.raises(ValueError, match=r"search/plain/new_idea\.bin is of no kind"):
        kinds_of(Path())


def test_what_is_wrong_is_seen(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that takes what it may not, fails, hangs or takes memory is a fault, each of its own kind."""
    kind = next(kind for kind in KINDS if kind.name == "history")

    def found(reader: Reader, count: int = 12) -> set[str]:
        odd = replace(kind, reader=reader)
        monkeypatch.setattr(judge, "files", {odd: files})
        monkeypatch.setattr(judge, "_kinds", [odd])
        monkeypatch.setattr(judge, "_shares", [1.0])
        monkeypatch.setattr(judge, "_values", {})
        return {each.outcome for each in judge.outcomes(range(count))}

    files = judge.files[kind]
    honest = {path: path.read_bytes() for path in files}

    def is_honest(path: Path) -> bool:
        return path.read_bytes() == honest[path]

    def crashing(_: object, path: Path) -> object:
        return 0 if is_honest(path) else {}["no such key"]  # type: ignore[index]

    def many_lines(_: object, path: Path) -> object:
        if not is_honest(path):
            raise InvalidInput("x" * 100 + "\n" + "\x1b[31m" * 3)

    def hanging(_: object, path: Path) -> object:
        while not is_honest(path):
            pass
        return 0

    def waiting(_: object, path: Path) -> object:
        if not is_honest(path):
            time.sleep(60)
        return 0

    def large(_: object, path: Path) -> object:
        return len(b"x" * (0 if is_honest(path) else 300 * 2**20)) * 0

    assert found(lambda _, path: path.read_bytes()) <= {"WRONG", "taken, sealed"}
    assert found(crashing) == {"CRASHED"}
    assert found(many_lines) == {"refused"}  # `explain` has made one plain line of it
    assert "TOO LARGE" in found(large, 2)
    monkeypatch.setattr("benchmarks.mutated.judge.SECONDS", 0.2)
    assert found(hanging, 2) == {"HUNG"}
    monkeypatch.setattr("benchmarks.mutated.judge.STUCK_SECONDS", 0.2)
    assert found(waiting, 2) == {"HUNG"}
    assert all(is_honest(path) for path in honest)


def test_a_mutation_is_a_function_of_seed_and_number(judge: Judge) -> None:
    for kind, files in judge.files.items():
        source = Source(files[0].name, files[0].read_bytes(), files[-1].read_bytes())
        for mutator in set(mutators_of(kind)):
            assert mutator(source, random.Random("0:1")) == mutator(source, random.Random("0:1"))
