"""The program in the README runs as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from ofa.records import read_record
from search.run.cards import SubnetCard

ROOT = Path(__file__).parents[1]
MOST_LINES = 12


def program() -> str:
    """The first block of Python in the README that searches."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    return next(block for block in blocks if "search.find" in block)


@pytest.mark.slow
def test_the_shortest_program_makes_an_onnx_file_within_its_limits(tmp_path: Path) -> None:
    assert sum(bool(line.strip()) for line in program().splitlines()) <= MOST_LINES
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program()], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["my_subnet"]
    card = read_record(tmp_path / "my_subnet/card.json", SubnetCard)
    assert card.params <= 9000 and card.measured_ms is not None and card.measured_ms <= 1
    assert card.scores is not None and card.scores.test["accuracy"].value > 0.8
    verify = np.load(tmp_path / "my_subnet/verify.npz")
    (logits,) = onnxruntime.InferenceSession(tmp_path / "my_subnet/model.onnx").run(None, {"input": verify["input"]})
    assert np.abs(logits - verify["logits"]).max() < 1e-3
