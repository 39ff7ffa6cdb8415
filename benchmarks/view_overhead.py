"""Times a training step and a forward through a view against the same network extracted.

    python benchmarks/view_overhead.py [--rounds 30] [--threads 2] [--output benchmarks/results/view_overhead.json]

Every round times each contender once, in shuffled order, so that drift of a shared machine hits all alike. The figure
is the ratio of medians, with the quartiles of the ratio round by round. A training step is zeroing the gradients,
building the view, forward and backward; the optimizer's step, the same for both, is left out, which is the harder
comparison. A forward has batch 1 and uses a view that was built before, with `contiguous=True` and as plain slices.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import ofa
from ofa.models import MobileNet, ResNet

SHAPE = (3, 32, 32)


def compare(contenders: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Returns seconds by contender, one figure a round, after two rounds of warm-up."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for number in range(rounds + 2):
        random.Random(number).shuffle(order)
        for name in order:
            start = time.perf_counter()
            contenders[name]()
            if number >= 2:
                times[name].append(time.perf_counter() - start)
    return times


def ratio(times: dict[str, list[float]], over: str, under: str) -> dict[str, float]:
    """Returns the ratio of medians and the quartiles of the ratio round by round."""
    by_round = sorted(a / b for a, b in zip(times[over], times[under], strict=True))
    low, _, high = statistics.quantiles(by_round, n=4)
    return {
        "ratio": statistics.median(times[over]) / statistics.median(times[under]),
        "quartile_low": low,
        "quartile_high": high,
        "static_ms": 1e3 * statistics.median(times[under]),
    }


def training(supernet: ofa.Supernet, batch: int, rounds: int, arch: ofa.Arch) -> dict[str, float]:
    """Returns the ratio of a step through a view of `arch`, built anew in each step, to the static net's step."""
    images, labels = torch.randn(batch, *SHAPE), torch.randint(10, (batch,))
    static = supernet.extract(arch).train()
    supernet.model.train()
    for parameter in [*static.parameters(), *supernet.parameters()]:
        parameter.grad = torch.zeros_like(parameter)
    own = list(static.parameters())
    full = list(supernet.parameters())

    def through_view() -> None:
        torch._foreach_zero_([p.grad for p in full])
        net = supernet.subnet(arch, accumulate=True)
        F.cross_entropy(net(images), labels).backward()

    def through_static() -> None:
        torch._foreach_zero_([p.grad for p in own])
        F.cross_entropy(static(images), labels).backward()

    return ratio(compare({"view": through_view, "static": through_static}, rounds), "view", "static")


def forward(supernet: ofa.Supernet, rounds: int, arch: ofa.Arch, contiguous: bool) -> dict[str, float]:
    """Returns the ratio of a batch-1 forward of a prebuilt view to the static net's."""
    image = torch.randn(1, *SHAPE)
    view, static = supernet.subnet(arch, contiguous=contiguous).eval(), supernet.extract(arch).eval()

    def run(net: nn.Module) -> None:
        with torch.inference_mode():
            for _ in range(5):
                net(image)

    contenders = {"view": lambda: run(view), "static": lambda: run(static)}
    return ratio(compare(contenders, rounds * 4), "view", "static")


def building(supernet: ofa.Supernet, arch: ofa.Arch, rounds: int) -> dict[str, float]:
    """Returns milliseconds of processor time to build a view whose plan is cached, and how many modules it has."""
    modules = len(list(supernet.subnet(arch).modules()))
    result: dict[str, float] = {"modules": modules}
    for name, accumulate in (("differentiable_ms", False), ("accumulate_ms", True)):
        times = []
        for _ in range(rounds * 4):
            start = time.process_time()
            supernet.subnet(arch, accumulate=accumulate)
            times.append(1e3 * (time.process_time() - start))
        result[name] = statistics.median(times)
        result[name.replace("_ms", "_ms_for_100_modules")] = statistics.median(times) * 100 / modules
    return result


def main() -> None:
    """Prints a table and writes the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    models = {
        "ResNet-20": ResNet(SHAPE, 10, depth=20),
        "MobileNetV3-style": MobileNet(SHAPE, 10),
    }
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for name, model in models.items():
        supernet = ofa.Supernet(model, torch.randn(2, *SHAPE))
        arch = supernet.space.sample(np.random.default_rng(0))
        rows = figures[name] = {
            "train_batch_64": training(supernet, 64, options.rounds, arch),
            "train_batch_16": training(supernet, 16, options.rounds, arch),
            "forward_contiguous": forward(supernet, options.rounds, arch, contiguous=True),
            "forward_slices": forward(supernet, options.rounds, arch, contiguous=False),
            "build": building(supernet, arch, options.rounds),
        }
        for row, values in rows.items():
            print(
                f"{name:18} {row:18} " + "  ".join(f"{key} {value:.3f}" for key, value in values.items()),
                flush=True,
            )
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        machine = {"torch": torch.__version__, "threads": options.threads, "processor": platform.processor()}
        options.output.write_text(json.dumps({"machine": machine, "figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
