"""The run that most verbs are tried on, and its content."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from search.app.main import main
from tests.search.steady_device import steady_device

TINY = "experiment=tiny"
# Limits that everything meets: how quick this machine is does not matter.
RUN = ["run", TINY, "latency_ms=[1000,2000]", "study=onnxruntime"]
MET = "latency_ms=1000"
QUICK = ["run=tiny", "search.evaluations=6", "search.finalists.seconds=1", "search.finalists.visits=6"]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by name; locks are no contents."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".lock", ".runner", ".claim")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder where `ofa run experiment=tiny` was run; tests that change it work on a copy."""
    with pytest.MonkeyPatch.context() as patch, steady_device():
        place = tmp_path_factory.mktemp("run")
        patch.chdir(place)
        assert main(RUN) == 0
        return place


@pytest.fixture
def tiny_copy(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a copy, in which the test runs."""
    shutil.copytree(tiny_run / "outputs", tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    return tmp_path
