"""What a user can get wrong: exit code 2, one clear line, no traceback, nothing written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from search.app.launch import overrides_first
from search.app.main import VERBS, main

CASES = [
    ("trian", "'trian' is not a verb; did you mean train"),
    ("train model=lenet55", "model=lenet55 is not known; did you mean lenet5"),
    ("search device=onnxruntme", "device=onnxruntme is not known; did you mean onnxruntime"),
    ("search device=server", "a device profiled under device.name=server: 'latency_ms={server: MS}' (--config-dir"),
    ("train data=digit", "data=digit is not known; did you mean digits"),
    ("search sampler=evolutoin", "sampler=evolutoin is not known; did you mean evolution"),
    ("search latency_ms=0", "latency_ms=0 must be a number of milliseconds above 0"),
    ("search latency_ms=-1", "latency_ms=-1 must be a number of milliseconds above 0"),
    ("search latency_ms=four", "latency_ms='four' must be a number of milliseconds above 0"),
    ("search latency_ms=nan", "latency_ms=nan must be a number of milliseconds above 0"),
    ("run latency_ms=[1,0]", "latency_ms=0 must be a number of milliseconds above 0"),
    ("run search.evaluations=0", "search.evaluations=0 must be a whole number, at least 1"),
    ("search search.evaluatons=1", "search.evaluatons is not a key of this verb; did you mean evaluations"),
    ("search search.limits.parms=1", "search.limits.parms is not a key of this verb; did you mean params"),
    ("search search.limits={parms:1}", "search.limits.parms is not a key of this verb; did you mean params"),
    ("search search.metric_limits.recall=0.9", "unless they are added, with a plus: +search.metric_limits.recall=0.9"),
    ("search latency_ms.eager=3", "latency_ms has no keys unless they are added, with a plus: +latency_ms.eager=3"),
    ("search search.limits={macs:-1}", "macs=-1 must be a number of MACs above 0"),
    ("search search.objective=[accuracy,parms]", "names accuracy and parms, of which at most one is a metric"),
    ("run search.objective=[params]", "objective [params] has no metric; add it, such as [metric,params]"),
    ("search search.margin=much", "search.margin='much' must be a number, at least 0 and less than 1, or null"),
    ("search search.latency_fractions=0.5", "search.latency_fractions=0.5 must be a list of numbers, each more than 0"),
    ("search latency_ms={onnxruntime:0}", "latency_ms={onnxruntime: 0} must give a device one number"),
    (
        "search latency_ms={onnxruntime:1,phone:4}",
        "latency_ms names 'phone', which is not profiled in outputs/main: run ofa profile device=phone run=main first",
    ),
    ("search model=lenet5", "model is not a group of this verb; it was decided by ofa train"),
    ("search device.runtime.threads=0", "threads=0 must be a whole number"),
    ("search", "outputs/main/supernet holds no trained supernet (run ofa train run=main first)"),
    ("extract", "outputs/main/search holds no search to use"),
    ("compare", "outputs/main/search holds no search to use"),
    ("compare comparable=0.5", "comparable=0.5 must be a factor of at least 1"),
    ("report", "outputs/main/supernet holds no trained supernet"),
    ("dashboard", "outputs/main/search holds no search to use"),
    ("train data=parquet", "data.dataset.path must be set"),
    ("train data=parquet data.dataset.path=missing_file.parquet", "missing_file.parquet"),
    ("train model._target_=my_package.Net", "_target_ my_package.Net cannot be imported"),
    ("train +model.colour=1", "unexpected keyword argument 'colour'"),
    ("train model=lenet5 data.dataset.image_size=3", "image_size=3"),
    ("train train.optimizer.lr=abc", "train.optimizer.lr='abc' must be a number"),
    ("train +train.strategy.colour=1", "train.strategy (ofa.train.strategies.sandwich): "),
    ("train train.epochs=0", "epochs=0"),
    ("train +model.colour=[1,nan]", "unexpected keyword argument"),
    ("train task.label_smoothing=nan", "task.label_smoothing=nan must be a number"),
    ("train run=a/b", "run='a/b' must be a plain name"),
    ("train train.device=gpu", "train.device=gpu cannot be used here (Expected one of cpu"),
    ("prune dense.device=gpu", "dense.device=gpu cannot be used here"),
    ("train threads=0", "threads=0 must be a whole number"),
    ("train model", "'model' cannot be read"),
    ("train --config-dir nowhere", "nowhere' not found"),
    ("search workers=0", "workers=0 must be a whole number, at least 1"),
    ("search storage=sqlite:///study.db", "is SQLite, where every suggestion waits"),
    ("search storage=postgresql://me:secret@db.host/ofa", "storage holds a password"),
]


@pytest.mark.parametrize(("command", "message"), CASES, ids=[command for command, _ in CASES])
def test_one_clear_line_and_exit_code_2(
    command: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[-1]
    assert lines[-1].startswith("ofa")
    assert not [line for line in lines if "Traceback" in line]
    assert list(tmp_path.iterdir()) == []


MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, input_shape, num_classes, fault="", pixels=64):
        super().__init__()
        self.fault = fault
        self.conv = nn.Conv2d(input_shape[0], 16, 3, padding=1)
        self.head = nn.Linear(16 * pixels, num_classes)

    def forward(self, images):
        logits = self.head(self.conv(images).relu().flatten(1))
        if self.fault == "bad":
            return logits * float("nan")
        return logits[:, :3] if self.fault == "shape" else logits
"""


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+model.fault=bad", "Net returns NaN; check its layers"),
        ("+model.fault=shape", "Net returns (2, 3) torch.float32 for 2 examples; classification needs logits (2, 10)"),
        ("+model.pixels=10", "Net does not run on an input of shape (2, 1, 8, 8)"),
    ],
)
def test_models_of_users_that_do_not_work(
    override: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "models_of_mine", raising=False)
    (tmp_path / "models_of_mine.py").write_text(MODEL)
    (tmp_path / "my_conf/model").mkdir(parents=True)
    (tmp_path / "my_conf/model/mine.yaml").write_text("_target_: models_of_mine.Net\n")
    assert main(["train", "model=mine", "data=digits", "--config-dir", "my_conf", override]) == 2
    data, line = capsys.readouterr().err.splitlines()
    assert data.startswith("data: digits, 10 classes") and message in line
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("override", "advice"),
    [
        (
            ["data.dataset.path=/a/my", "set"],
            """a value with blanks is quoted as a whole: 'data.dataset.path="/a/my set"'""",
        ),
        (["data.dataset.path={a: >= 9}"], """inside braces a value with signs is quoted by itself: 'search.metric"""),
        (["data.dataset.path=/a/my (set"], """signs is quoted twice: 'data.dataset.path="/a/my (set"'"""),
    ],
)
def test_a_value_that_was_cut_is_answered_by_how_to_quote_it(
    override: list[str], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "data=imagefolder", *override]) == 2
    assert advice in capsys.readouterr().err.splitlines()[-1]
    whole = 'data.dataset.path="/a/my (set"'
    assert main(["train", "data=imagefolder", whole]) == 2
    assert "/a/my (set does not exist" in capsys.readouterr().err.splitlines()[-1]


def test_traceback_only_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OFA_TRACEBACK", "1")
    assert main(["search", "latency_ms=0"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_help_is_instant(tmp_path: Path) -> None:
    code = "import sys; from search.app.main import main; main(['--help']); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f"  {verb} " in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_configuration(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--cfg", "job"]) == 0
    assert "run: main" in capsys.readouterr().out


def test_options_may_stand_between_overrides() -> None:
    given = ["model=mine", "--config-dir", "my_conf", "run=x", "--multirun", "seed=1,2"]
    assert overrides_first(given) == ["model=mine", "run=x", "seed=1,2", "--config-dir", "my_conf", "--multirun"]
