"""How many Archs a second `ofa.cost` works out.

    python benchmarks/cost_speed.py

Processor time of one call for 10,000 random Archs, median of five; drawing the Archs is not counted.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from torch import nn

import ofa
from ofa.models import MobileNet, ResNet

COUNT = 10_000


def archs_a_second(model: nn.Module) -> float:
    """Returns Archs a second, macs, params and bytes of each."""
    supernet = ofa.Supernet(model, torch.randn(2, 3, 32, 32))
    rng = np.random.default_rng(0)
    archs = [supernet.space.sample(rng) for _ in range(COUNT)]
    times = []
    for _ in range(5):
        start = time.process_time()
        ofa.cost(supernet, archs)
        times.append(time.process_time() - start)
    return COUNT / statistics.median(times)


def main() -> None:
    """Prints a row a model."""
    torch.set_num_threads(1)
    print("| model | Archs a second |\n|---|---|")
    for model in (ResNet(depth=20), ResNet(depth=56), MobileNet(input_shape=(3, 32, 32))):
        name = f"ResNet-{6 * len(model.stages[0]) + 2}" if isinstance(model, ResNet) else "MobileNetV3-style"
        print(f"| {name} | {archs_a_second(model):,.0f} |")


if __name__ == "__main__":
    main()
