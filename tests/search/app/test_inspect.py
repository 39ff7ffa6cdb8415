"""`ofa inspect`: the table, the JSON, weights of a file, and errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import ofa
from ofa.models import LeNet5
from ofa.records import read_record
from search.app.main import main
from search.run.result_files import Layers

LENET = ["inspect", "model=lenet5", "input_shape=[1,28,28]", "classes=7"]


def test_it_prints_layers_and_what_would_free_the_rest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([*LENET, f"output={tmp_path}/layers.json"]) == 0
    shown = capsys.readouterr().out
    layers = read_record(tmp_path / "layers.json", Layers)
    supernet = ofa.Supernet(LeNet5((1, 28, 28), 7, (16, 32), (128, 64), True), torch.randn(2, 1, 28, 28))
    assert layers.parameters == sum(tensor.numel() for tensor in supernet.parameters())
    assert layers.smallest == ofa.cost(supernet, [supernet.space.smallest])["params"][0]
    assert int(layers.subnets) == supernet.space.size
    assert f"{layers.parameters:,} parameters, all but 7 of them elastic" in shown
    for row in supernet.report().rows:
        assert any(line.split()[:3] == [row.layer, row.kind, row.state] for line in shown.splitlines())
    assert "is the network's output" in shown


def test_the_weights_of_a_file_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(LeNet5((1, 28, 28), 7, (16, 32), (128, 64), True).state_dict(), tmp_path / "lenet.pt")
    assert main([*LENET, "start=checkpoint", f"start.path={tmp_path}/lenet.pt"]) == 0
    assert "weights of" in capsys.readouterr().err
    assert main([*LENET[:-1], "classes=9", "start=checkpoint", f"start.path={tmp_path}/lenet.pt"]) == 2
    assert "build the model that the file was saved from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("input_shape=[3,224]", "give (channels, height, width)"),
        ("input_shape=[3,0,8]", "input_shape"),
        ("weights=nowhere.pt", "weights is not a key of this verb; give start=checkpoint start.path=FILE"),
        ("space.width_ratios=[2]", "width_ratios"),
        ("start=chekpoint", "did you mean checkpoint"),
    ],
)
def test_an_unusable_value_is_one_line(override: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*LENET, override]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and len(error.splitlines()) == 1


def test_a_training_leaves_its_layers_in_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "experiment=tiny", "train.epochs=1", "data.dataset.samples=128"][:3]) == 0
    layers = json.loads(next(Path("outputs").rglob("layers.json")).read_text())
    assert layers["parameters"] > layers["smallest"] > 0
    assert main(["report", *(f"run={path.name}" for path in Path("outputs").glob("*/"))]) == 0
    page = next(Path("outputs").rglob("report.html")).read_text()
    assert "<h2>Layers</h2>" in page and "is the network&#39;s output" in page
