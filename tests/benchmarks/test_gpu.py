"""The script for a GPU: skipped in a line where there is none, and whole, if small, on a CPU; what sharing costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_cuda_it_says_so_and_writes_nothing(tmp_path: Path) -> None:
    done = run("benchmarks.gpu", "--output", str(tmp_path / "gpu.json"))
    assert done.returncode == 0 and done.stdout.startswith("gpu: skipped: ") and done.stdout.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_same_script_on_a_processor(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    done = run("benchmarks.gpu", "--device", "cpu", "--quick", "--output", str(output))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text())
    assert all(row["passed"] for row in found["correctness"].values())
    assert {row["step"] for row in found["throughput"]} == {"static", "view", "sandwich"}
    assert len(found["latency"]) == 3 and found["accuracy"]["scores"]["largest"]["accuracy"] > 0.3  # chance: 0.1
    assert found["hardware"]["name"] == "CPU" and found["commit"] and found["date"]


@pytest.mark.slow
def test_a_sandwich_holds_no_more_than_its_largest_network(tmp_path: Path) -> None:
    output = tmp_path / "data_parallel.json"
    done = run("benchmarks.data_parallel", "--quick", "--steps", "2", "--batch", "8", "--output", str(output))
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(output.read_text())["figures"].values()
    assert row["sandwich_mib"] <= row["largest_mib"] and 0 < row["exchange"] < row["together"] < 1
