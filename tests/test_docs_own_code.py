"""Code of one's own in docs/: the programs of a page run in a fresh folder, and a verb takes what they define."""

from __future__ import annotations

import importlib
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from search.app.main import main
from tests.documentation import ROOT, blocks, commands, named_files
from tests.search.steady_device import steady_device

PAGES = ["tasks", "data", "start", "teachers", "adapt", "training", pytest.param("python", marks=pytest.mark.slow)]
QUICK = ["train.epochs=1", "train.calibration_images=32", "train.validate_every=0", "train.batch_size=25"]
IMAGES = ["data=synthetic", "data.dataset.image_size=8", "data.dataset.samples=100", "model=resnet20", "model.depth=8"]
OWN = {"tasks": [], "data": [], "teachers": IMAGES}  # by page, with what makes its command quick
MODULES = ("my_package", "my_module", "page")
# By page, what its reader has before it begins: a network, data, and how it is trained.
GIVEN = {
    "training": """
from functools import partial
import torch, ofa
from ofa.data import digits
from ofa.models import ResNet
from ofa.train import TrainSettings, single as strategy
data = digits()
supernet = ofa.Supernet(ResNet((1, 8, 8), 10, depth=8), torch.randn(2, 1, 8, 8))
settings = TrainSettings(optimizer=partial(torch.optim.SGD, lr=0.01), epochs=1, batch_size=128)
""",
    "python": """
import torch
from my_module import Net as MyNet
from ofa.data import digits
from search.door.inputs import device_of
images, labels = digits().train.images, digits().train.targets
network, example_input = MyNet(width=64), torch.zeros(2, 1, 8, 8)
""",
}
# By page, what is read differently: what would take minutes, or stands for another name. Devices are tried.
READ = {
    "python": {
        r"evaluations=200": "evaluations=6, calibration_images=64, finalists={'seconds': 1.0}",
        r"(limits=\{\"latency_ms\": 4, \"params\": 1e6\})\)": r"\1, evaluations=4)",
        r"(?m)^device = (\{.*\}).*$": r"device_of(\1)",
        r".*compressed/NAME.*\n": "",  # of `ofa compress`; tests/search/app/test_compress.py loads one
    }
}
NETWORK = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.more = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.head = nn.Linear(2 * width, 10)

    def forward(self, images):
        return self.head(self.more(self.conv(images).relu()).relu().mean((2, 3)))
"""


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
    text = "\n\n".join([GIVEN.get(name, ""), *programs])
    for words, instead in READ.get(name, {}).items():
        text, count = re.subn(words, instead, text)
        assert count, words
    (folder / "my_module.py").write_text(NETWORK)
    (folder / "page.py").write_text(text)
    with steady_device():
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
