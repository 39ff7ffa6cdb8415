"""How many Archs a second `ofa.peak_activation_bytes` works out, and whether runs agree.

    python benchmarks/peak_memory.py

Images of 64x64. Processor time of one call for 10,000 random Archs, median of five; drawing the Archs is not counted,
and what a supernet needs once has a column of its own. Then 50 random Archs are extracted and run, and their peaks
compared.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from torch import nn

import ofa
from ofa.models import MobileNet, ResNet

SHAPE = (3, 64, 64)
COUNT = 10_000
RUNS = 50


def row(name: str, model: nn.Module, rules: ofa.SpaceRules) -> str:
    """Returns the table's row of one model."""
    supernet = ofa.Supernet(model, torch.randn(2, *SHAPE), rules)
    rng = np.random.default_rng(0)
    archs = [supernet.space.sample(rng) for _ in range(COUNT)]
    start = time.process_time()
    ofa.peak_activation_bytes(supernet, archs[:1])
    once = time.process_time() - start
    times = []
    for _ in range(5):
        start = time.process_time()
        peaks = ofa.peak_activation_bytes(supernet, archs)
        times.append(time.process_time() - start)
    start = time.process_time()
    runs = [ofa.measure_peak_activation_bytes(supernet.extract(arch), supernet.example_input) for arch in archs[:RUNS]]
    each = (time.process_time() - start) / RUNS
    equal = int(np.sum(peaks[:RUNS] == np.array(runs)))
    span = f"{peaks.min() / 1024:,.0f} to {peaks.max() / 1024:,.0f}"
    speed = COUNT / statistics.median(times)
    return f"| {name} | {once:.1f} | {speed:,.0f} | {1 / each:,.0f} | {equal} of {RUNS} | {span} |"


def main() -> None:
    """Prints a row a model."""
    torch.set_num_threads(1)
    print("| model | once (s) | Archs a second | by running them | equal to a run | peaks (KiB) |")
    print("|---|---|---|---|---|---|")
    rules = ofa.SpaceRules()
    print(row("ResNet-20", ResNet(SHAPE, depth=20), rules))
    print(row("ResNet-56", ResNet(SHAPE, depth=56), rules))
    kernels = ofa.SpaceRules(kernel_sizes={"*depthwise": [3, 5]})
    print(row("MobileNetV3-style", MobileNet(SHAPE), kernels))


if __name__ == "__main__":
    main()
