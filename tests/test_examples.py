"""Every example runs as a user would run it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
LONG = {"detector"}


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=pytest.mark.long if path.stem in LONG else ()) for path in EXAMPLES],
)
def test_example_runs(path: Path) -> None:
    assert "test " in run_example(path, "1")  # accuracy


def run_example(path: Path, *arguments: str) -> str:
    """Returns what an example prints."""
    environment = os.environ | {"PYTHONPATH": str(path.parent.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
@pytest.mark.slow
def test_the_detector_learns_in_a_loop_of_its_own_too() -> None:
    detector = next(path for path in EXAMPLES if path.stem == "detector")
    assert "3 maps equal in ONNX Runtime" in run_example(detector, "1", "own")
