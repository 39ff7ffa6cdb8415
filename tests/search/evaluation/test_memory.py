"""The memory of an Evaluator whose images are on disk."""

from __future__ import annotations

import ctypes
import re
import sys
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import ofa
from ofa.data import from_npz
from ofa.task import classification
from search.evaluation.supernet import Evaluator

SHAPE = (3, 96, 96)


def write(folder: Path, validation: int) -> None:
    """Writes a data set of .npy files, with so many rows to validate on."""
    rng = np.random.default_rng(0)
    for part, rows in {"train": 64, "validation": validation, "test": 8}.items():
        (folder / part).mkdir(parents=True)
        images = np.lib.format.open_memmap(folder / part / "inputs.npy", "w+", np.uint8, (rows, *SHAPE))
        for row in range(rows):
            images[row] = rng.integers(0, 256, SHAPE, dtype=np.uint8)
        np.save(folder / part / "targets.npy", np.arange(rows) % 4)


def resident(name: str) -> int:
    """Returns a figure of this process's memory in bytes: VmRSS now, VmHWM the most since it was reset."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


@pytest.mark.skipif(sys.platform != "linux", reason="looks at memory as Linux shows it")
def test_eight_times_the_images_take_no_more_memory(tmp_path: Path) -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=8), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 12**2, 4)
    )
    supernet = ofa.Supernet(net, torch.randn(2, *SHAPE))
    grown: dict[int, int] = {}
    for rows in (100, 500, 4000):  # the first allocates what is allocated once
        write(tmp_path / str(rows), rows)
        ctypes.CDLL(None).malloc_trim(0)  # what other tests freed would be taken first
        Path("/proc/self/clear_refs").write_text("5")  # the most begins anew
        before = resident("VmRSS")
        data = from_npz(str(tmp_path / str(rows)), num_classes=4)
        evaluate = Evaluator(supernet, data, classification(data), data.calibration_source(64), batch_size=16)
        evaluate(supernet.space.largest)
        grown[rows] = resident("VmHWM") - before
    assert grown[4000] - grown[500] < 3500 * prod(SHAPE) / 2
