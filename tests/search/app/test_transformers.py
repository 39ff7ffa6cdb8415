"""Transformers run the whole job, a GPT on text and a ViT on images: train, profile, search, extract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from search.app.main import main
from search.networks.rebuild import load

SMALL = ["model.depth=2", "model.width=16", "model.heads=2", "model.head_size=8", "train.batch_size=64"]
JOBS = {
    "gpt": ["model=gpt", "data=text", "data.dataset.samples=300", *SMALL],
    "vit": ["model=vit", "data=synthetic", "data.dataset.image_size=8", "data.dataset.samples=300", *SMALL],
}
QUICK = [
    *("device.profile.anchors=10", "device.profile.visits=6", "device.profile.repeats=4", "device.profile.seconds=4"),
    *("search.evaluations=6", "search.finalists.candidates=2", "search.finalists.visits=6"),
    *("search.finalists.repeats=4", "search.finalists.seconds=2", "latency_ms=[1000]", "study=job"),
    *("export.calibration_images=64", "search.calibration_images=64", "train.epochs=2"),
]


@pytest.mark.parametrize("name", JOBS)
def test_two_steps_of_training(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *JOBS[name], "train=sandwich_adamw", "train.epochs=1", "train.batch_size=90"]) == 0
    assert (tmp_path / "outputs/main/supernet/model.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_the_whole_job(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", *JOBS[name], *QUICK]) == 0
    (folder,) = (path for path in (tmp_path / "outputs/main/subnets").iterdir() if path.is_dir())
    verify = np.load(folder / "verify.npz")
    assert verify["input"].dtype == (np.int64 if name == "gpt" else np.float32)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (logits,) = session.run(["logits"], {"input": verify["input"]})
    np.testing.assert_allclose(logits, verify["logits"], atol=1e-4)
    with torch.no_grad():
        again = load(folder)(torch.from_numpy(verify["input"]))
    np.testing.assert_allclose(again.numpy(), verify["logits"], atol=1e-5)
    assert (folder / "network.py").is_file()
