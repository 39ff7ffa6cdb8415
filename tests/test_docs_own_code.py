"""Code of one's own in docs/: the programs of a page run in a fresh folder, and a verb takes what they define."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from search.app.main import main
from tests.documentation import ROOT, blocks, commands, named_files

PAGES = ["tasks", "data", "start", "teachers", "adapt"]
QUICK = ["train.epochs=1", "train.calibration_images=32", "train.validate_every=0", "train.batch_size=25"]
IMAGES = ["data=synthetic", "data.dataset.image_size=8", "data.dataset.samples=100", "model=resnet20", "model.depth=8"]
OWN = {"tasks": [], "data": [], "teachers": IMAGES}  # by page, with what makes its command quick
MODULES = ("my_package", "page")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder, in which the test runs, and whose modules are its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    for module in MODULES:
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


def page(name: str) -> Path:
    return ROOT / f"docs/{name}.md"


@pytest.mark.parametrize("name", PAGES)
def test_programs_of_a_page_run_one_after_the_other(name: str, folder: Path) -> None:
    """As a module, which processes of loaders can import."""
    left_out = () if find_spec("torchmetrics") else ("import torchmetrics",)
    programs = [each for each in blocks(page(name), "python") if not any(words in each for words in left_out)]
    (folder / "page.py").write_text("\n\n".join(programs))
    importlib.import_module("page")


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_a_verb_takes_the_code_of_a_page(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, text in named_files(page(name)).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    own = [each.words for each in commands(page(name)) if "my_package." in each.line or "my_conf" in each.line]
    assert len(own) == 1
    ((program, verb, *words),) = own
    assert (program, verb) == ("ofa", "train")
    assert main(["train", *words, *OWN[name], *QUICK]) == 0
    assert "test examples: largest" in capsys.readouterr().err
