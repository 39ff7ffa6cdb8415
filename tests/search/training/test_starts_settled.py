"""A model of transformers is kept with its configuration: its folder may go, and another one is another model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ofa.errors import InvalidInput
from search.app.main import main
from search.run.paths import RunFolder
from search.run.stages import Stage, written
from search.training.starts import check_settled, settled
from search.training.trained import load_trained
from tests.ofa import hub_packages as hub

TRANSFORMERS = "ofa.models.from_transformers"
TRAIN = ["train", "model=transformers", "model.name=gpt", "start=transformers", "start.name=gpt", "data=text"]
QUICK = ["data.dataset.samples=160", "train.epochs=0", "train.calibration_images=32"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def write_config(**changes: int) -> None:
    Path("gpt").mkdir(exist_ok=True)
    Path("gpt/config.json").write_text(json.dumps({**hub.GPT2, **changes}))


def test_what_a_folder_says_becomes_part_of_the_configuration() -> None:
    write_config()
    model = {"_target_": TRANSFORMERS, "name": "gpt", "config": None}
    first = settled(model, [])
    assert first == {**model, "config": hub.GPT2} and settled(first, []) == first
    with written(Stage("train", Path("out"), {"model": first})):
        Path("out/model").write_text("")
    write_config(n_layer=1)
    assert settled(model, [Path("out")])["config"]["n_layer"] == 1
    Path("gpt/config.json").unlink()
    Path("gpt").rmdir()
    hub.transformers()
    assert settled(model, [Path("none"), Path("out")]) == first
    with pytest.raises(InvalidInput, match="'gpt' is no folder here"):
        settled({**model, "kind": "AutoModel"}, [Path("out")])


def test_other_models_stay_as_they_are() -> None:
    for model in ({"_target_": "ofa.models.ResNet", "depth": 8}, {"_target_": "my.Net", "name": "gpt"}):
        assert settled(model, []) == model
        check_settled(model, Path("config.yaml"))


def test_a_folder_of_timm_becomes_its_architecture() -> None:
    Path("net").mkdir()
    Path("net/config.json").write_text(json.dumps({"architecture": "resnet10t", "model_args": {"drop_rate": 0.1}}))
    model = {"_target_": "ofa.models.from_timm", "name": "net", "arguments": {"zero_init_last": False}}
    assert settled(model, []) == {
        "_target_": "ofa.models.from_timm",
        "name": "resnet10t",
        "arguments": {"drop_rate": 0.1, "zero_init_last": False},
    }


def test_a_stored_model_reads_nothing_from_elsewhere() -> None:
    for model in (
        {"_target_": TRANSFORMERS, "name": "somebody/else", "config": None},
        {"_target_": "ofa.models.from_timm", "name": "hf-hub:somebody/else"},
    ):
        with pytest.raises(InvalidInput, match="would be read from elsewhere"):
            check_settled(model, Path("config.yaml"))


def test_a_run_on_transformers_needs_its_folder_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    package = hub.transformers()
    config = package.GPT2Config(**{**hub.GPT2, "num_labels": 16})
    package.GPT2ForSequenceClassification(config).save_pretrained("gpt")
    assert main([*TRAIN, *QUICK]) == 0
    Path("gpt").rename("gone")
    capsys.readouterr()
    assert main([*TRAIN, *QUICK]) == 0
    assert "nothing to do" in capsys.readouterr().err
    trained = load_trained(RunFolder(Path("outputs/main")))
    assert type(trained.supernet.model).__name__ == "GPT2ForSequenceClassification"
    Path("gone").rename("gpt")
    values = json.loads(Path("gpt/config.json").read_text())
    Path("gpt/config.json").write_text(json.dumps({**values, "n_head": 1}))
    assert main([*TRAIN, *QUICK]) == 2
    assert "model.config.n_head=2 there, 1 now" in capsys.readouterr().err
