"""The run that is pruned, and what it leaves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from search.app.main import main
from tests.record_files import content_of
from tests.search.steady_device import steady_device

TINY = [
    "model=lenet5",
    "data=synthetic",
    "data.dataset.image_size=8",
    "data.dataset.samples=320",
    "dense.epochs=4",
    "dense.batch_size=32",
    "dense.validate_every=2",
    "run=tiny",
]
RUN = Path("outputs/tiny")
SPARSE = ["prune", *TINY, "prune=cubic", "prune.sparsity=0.7", "name=sparse"]
SLIM = ["prune", *TINY, "prune=channels", "name=slim"]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def card_of(place: Path) -> dict[str, object]:
    return content_of(place / "card.json")


@pytest.fixture(scope="session")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with a sparse and a slim network; tests that change it work on a copy."""
    with pytest.MonkeyPatch.context() as patch, steady_device():
        place = tmp_path_factory.mktemp("prune")
        patch.chdir(place)
        assert main(SPARSE) == 0
        assert main(SLIM) == 0
        return place


@pytest.fixture
def pruned_copy(pruned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a copy, in which the test runs."""
    shutil.copytree(pruned / "outputs", tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    return tmp_path
