"""A device that is another machine: a bundle is measured in a process that cannot import the toolkit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.record_files import rewrite

# Nothing of the toolkit can be imported there, whatever is installed.
ALONE = """
import runpy, sys
sys.modules.update(dict.fromkeys(["torch", "ofa", "search", "optuna", "hydra", "onnx", "scipy", "safetensors"]))
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def slower_sentinel(content: dict[str, Any]) -> None:
    for row in content["rounds"]:
        row[-1] = [1000 * value for value in row[-1]]


def on_the_device(bundle: Path, place: Path, *options: str, python: str = sys.executable) -> Path:
    """Unpacks a bundle and measures; returns profile.json."""
    with zipfile.ZipFile(bundle) as file:
        file.extractall(place)
    code = f"import sys; sys.argv[2:] = {list(options)!r}\n{ALONE}".replace(
        "sys.argv[1]", repr(str(place / "measure.py"))
    )
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "done: " in done.stderr
    return place / "profile.json"


def time_by_macs(
    copy: Path, measured: Path, change: Callable[[list[float]], None] = lambda _: None, run: str = "tiny"
) -> None:
    """Makes a measurement that of a device that takes 1 ms and 2 us a thousand MACs, the same in every round."""
    bundles = copy / f"outputs/{run}/profiles/bundles"

    def times(content: dict[str, Any]) -> None:
        bundle = json.loads((bundles / f"{content['bundle']}.json").read_text())
        ms = [1 + 2e-6 * 1e3 * macs for macs in bundle["macs"]]
        change(ms)
        blocks = [[1e-5 * (2 + index % 5)] * 2 for index in range(len(content["rounds"][0]) - 1 - len(ms))]
        row = [*([1e-3 * value] * 2 for value in ms), *blocks, [1e-4, 1e-4]]  # the last is the sentinel
        content["rounds"] = [row for _ in content["rounds"]]

    rewrite(measured, times)


def rewritten(copy: Path, **fields: Any) -> str:
    """Writes what was measured with other fields; returns its name."""
    shutil.copy(copy / "device/profile.json", copy / "changed.json")
    rewrite(copy / "changed.json", lambda content: content.update(fields))
    return "changed.json"


def timed_by_macs(copy: Path, change: Callable[[list[float]], None]) -> str:
    """Writes a measurement whose times are changed; returns its name."""
    shutil.copy(copy / "device/profile.json", copy / "changed.json")
    time_by_macs(copy, copy / "changed.json", change)
    return "changed.json"


def swapped(ms: list[float]) -> None:
    low, high = sorted(range(2, len(ms)), key=ms.__getitem__)[:: len(ms) - 3]
    ms[low], ms[high] = ms[high], ms[low]


def mixed(ms: list[float]) -> None:
    order = sorted(range(len(ms)), key=ms.__getitem__)
    opposite = dict(zip(order, sorted(ms, reverse=True), strict=True))
    ms[:] = [opposite[index] for index in range(len(ms))]
