"""A dozen sequences of commands, killed at random instructions: all end as they would have, nothing is made twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KINDS = "train,search tpe,joint search guided,prune weights"  # of each the same commands without a kill, too


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_dozen_sequences(tmp_path: Path) -> None:
    output = tmp_path / "kills.json"
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.kills", "--sequences", "12", "--seed", "7"]
    command += ["--only", KINDS, "--processes", "1", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(output.read_text())["rows"]
    assert sum(row["sequences"] for row in rows) == 12
    assert sum(row["kills"] for row in rows) >= 12
    assert {row["sequence"] for row in rows} == set(KINDS.split(","))
    assert [row["faults"] for row in rows if row["faults"]] == []
