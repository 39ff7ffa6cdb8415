"""The whole job with resolution as a choice: train, profile, search, extract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from ofa.arch import read_arch
from ofa.records import read_record
from search.app.main import main
from search.candidates.search_files import Trials
from search.networks.rebuild import load
from search.run.paths import RunFolder, SearchFolder

TINY = ["experiment=tiny", "space.resolutions=[4,6]"]
QUICK = ["search.evaluations=12", "search.finalists.candidates=2", "latency_ms=[1000]", "study=job"]


def test_two_steps_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *TINY, "train.epochs=1", "train.batch_size=90"]) == 0
    assert (tmp_path / "outputs/tiny/supernet/model.safetensors").is_file()


def test_models_that_do_not_accept_a_resolution_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "model=lenet5", "data=digits", "space.resolutions=[6]"]) != 0
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "LeNet5 does not accept 6" in told and "it accepts 8" in told


@pytest.mark.slow
def test_the_whole_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", *TINY, *QUICK]) == 0
    run = RunFolder(tmp_path / "outputs/tiny")
    rows = read_record(SearchFolder(run.search("job")).trials, Trials).rows
    assert len({row.arch.resolution["input"] for row in rows if row.arch is not None}) > 1
    (folder,) = (path for path in run.subnets.iterdir() if path.is_dir())
    height = read_arch(folder / "arch.json").resolution["input"]
    verify = np.load(folder / "verify.npz")
    assert verify["input"].shape[1:] == (1, height, height)
    (logits,) = onnxruntime.InferenceSession(folder / "model.onnx").run(["logits"], {"input": verify["input"]})
    np.testing.assert_allclose(logits, verify["logits"], atol=1e-4)
    with torch.no_grad():
        np.testing.assert_allclose(load(folder)(torch.from_numpy(verify["input"])), verify["logits"], atol=1e-5)
    assert "resolution.input" in (run.root / "report.html").read_text()
