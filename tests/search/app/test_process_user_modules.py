"""The user's own modules: found from the current folder, and never in place of a library's."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.app.main import main
from search.app.process import hidden_module_text, hidden_modules
from tests.search.app.command import run_ofa

TINY = ["experiment=tiny", "train.epochs=1"]
NAMES = ("profile", "scipy", "json", "random", "pickle", "numpy", "omegaconf", "ofa", "platform")
MINE = "from ofa.models import ResNet\n\nclass Net(ResNet):\n    pass\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder with modules that are called like libraries."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    (tmp_path / "my_module.py").write_text(MINE)
    return tmp_path


@pytest.mark.slow
def test_libraries_come_before_the_current_folder(folder: Path) -> None:
    code, _, err = run_ofa(["train", *TINY, "model._target_=my_module.Net"], folder)
    assert (code, "wrong module" in err) == (0, False), err
    assert "train: Net on synthetic" in err


@pytest.mark.slow
def test_libraries_come_first_in_the_processes_of_a_multirun(folder: Path) -> None:
    jobs = ["--multirun", "seed=0,1", "run=tiny${seed}", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    code, _, err = run_ofa(["train", *TINY, "model._target_=my_module.Net", *jobs], folder)
    assert (code, "wrong module" in err) == (0, False), err
    assert all((folder / f"outputs/tiny{seed}/supernet/model.safetensors").is_file() for seed in (0, 1))


@pytest.mark.slow
def test_libraries_come_first_in_the_workers_of_a_search(folder: Path) -> None:
    quick = ["search.evaluations=4", "search.finalists.seconds=1", "search.finalists.visits=6", "workers=2"]
    quick += ["latency_ms=1000"]  # that everything meets
    quick += [
        "device.profile.anchors=8",
        "device.profile.blocks=6",
        "device.profile.visits=6",
        "device.profile.seconds=1",
    ]
    quick += ["train.validate_every=0", "search.calibration_images=64", "export.calibration_images=64"]
    for _ in range(6):  # a busy machine may be too noisy to be measured; the same command goes on then
        code, _, err = run_ofa(["run", *TINY, *quick], folder)
        assert "wrong module" not in err, err
        if "the measurement is rejected" not in err:
            break
    assert code == 0, err


@pytest.mark.parametrize("name", ["profile", "scipy"])
def test_a_module_that_is_hidden_is_named(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main(["train", *TINY, f"model._target_={name}.Net"]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert f"{name} in {name}.Net is the installed module " in line
    assert f"which comes before {name}.py in the current folder: give your module another name" in line


def test_a_hidden_module_is_told_of_where_nothing_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (line,) = hidden_modules({"train": [{"_target_": "json.dumps"}, {"_target_": "json.dumps"}], "seed": 0})
    assert line.startswith("json in json.dumps is the installed module ")
    assert hidden_modules({"_target_": "json.Net"}) == []  # its error tells
    assert hidden_module_text("module_of_nobody.Net") == hidden_module_text("math.sqrt") == ""
