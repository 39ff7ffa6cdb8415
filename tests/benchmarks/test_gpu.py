"""The script for a GPU: skipped in a line where there is none, and whole, if small, on a CPU; what sharing costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def parquet_of_pictures(folder: Path) -> Path:
    """Files like those of CIFAR-10, of ten plain colors with noise."""
    datasets = pytest.importorskip("datasets")
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 200, (10, 1, 1, 3))
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(num_classes=10)})
    for split, count in (("train", 1000), ("test", 100)):
        labels = np.arange(count) % 10
        pictures = (colors[labels] + rng.integers(0, 50, (count, 32, 32, 3))).astype(np.uint8)
        rows = {"img": [Image.fromarray(picture) for picture in pictures], "label": labels.tolist()}
        folder.mkdir(exist_ok=True)
        datasets.Dataset.from_dict(rows, features=features).to_parquet(str(folder / f"{split}-00000-of-00001.parquet"))
    return folder


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_cuda_it_says_so_and_writes_nothing(tmp_path: Path) -> None:
    done = run("benchmarks.gpu", "--output", str(tmp_path / "gpu.json"))
    assert done.returncode == 0 and done.stdout.startswith("gpu: skipped: ") and done.stdout.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_same_script_on_a_processor(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    folder = parquet_of_pictures(tmp_path / "cifar10")
    done = run("benchmarks.gpu", "--device", "cpu", "--quick", "--cifar10", str(folder), "--output", str(output))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text())
    assert all(row["passed"] for row in found["correctness"].values())
    assert {row["step"] for row in found["throughput"]} == {"static", "view", "sandwich"}
    assert len(found["latency"]) == 3 and found["accuracy"]["scores"]["largest"]["accuracy"] > 0.3  # chance: 0.1
    assert found["accuracy"]["data"] == "cifar10" and "channels last" in found["correctness"]
    assert found["hardware"]["name"] == "CPU" and found["commit"] and found["date"]


@pytest.mark.slow
def test_a_sandwich_holds_no_more_than_its_largest_network(tmp_path: Path) -> None:
    output = tmp_path / "data_parallel.json"
    done = run("benchmarks.data_parallel", "--quick", "--steps", "2", "--batch", "8", "--output", str(output))
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(output.read_text())["figures"].values()
    assert row["sandwich_mib"] <= row["largest_mib"] and 0 < row["exchange"] < row["together"] < 1
