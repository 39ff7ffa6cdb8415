"""Times masks in a training step and single events of pruning.

    python benchmarks/pruning_speed.py [--threads 1] [--rounds 60] [--output benchmarks/results/pruning_speed.json]

A step: forward, backward and SGD with momentum at batch 128 on a net, without and with a pruner at 90 % sparsity beside
it, taken in turns; the figure is the ratio of the lower quartiles, and its spread over five parts of the run. An event:
magnitude pruning of 10 million weights by one global ranking, and a swap of weights by RigL; CPU milliseconds.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ofa.models import LeNet5, LeNet5Caffe, LeNet300
from ofa.paths import write_json
from ofa.prune import Constant, OneShot, Pruner
from ofa.prune.allocation import per_layer
from ofa.prune.regrowth import RigL
from search.device.standalone.machine import describe_machine

NETS: dict[str, Callable[[], nn.Module]] = {"LeNet-300-100": LeNet300, "LeNet-5": LeNet5, "LeNet-5 431K": LeNet5Caffe}


def quartile(values: list[float]) -> float:
    """Returns the lower quartile."""
    return statistics.quantiles(values, n=4)[0]


def step_ratio(make: Callable[[], nn.Module], rounds: int) -> dict[str, Any]:
    """Returns milliseconds of a step without and with masks, and their ratio."""
    torch.manual_seed(0)
    images, labels = torch.randn(128, 1, 28, 28), torch.randint(0, 10, (128,))
    dense = make()
    masked = copy.deepcopy(dense)
    optimizers = [torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9) for net in (dense, masked)]
    pruner = Pruner(masked, optimizers[1], schedule=OneShot(0.9))

    def step(net: nn.Module, optimizer: torch.optim.Optimizer, pruner: Pruner | None) -> float:
        started = time.process_time()
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(images), labels)
        if pruner is not None:
            loss = loss + pruner.penalty()
        loss.backward()
        optimizer.step()
        if pruner is not None:
            pruner.step()
        return 1000 * (time.process_time() - started)

    plain: list[float] = []
    with_masks: list[float] = []
    for _ in range(10 * rounds):
        plain.append(step(dense, optimizers[0], None))
        with_masks.append(step(masked, optimizers[1], pruner))
    part = len(plain) // 5
    parts = [
        quartile(with_masks[i * part : (i + 1) * part]) / quartile(plain[i * part : (i + 1) * part]) for i in range(5)
    ]
    return {
        "plain_ms": quartile(plain),
        "masked_ms": quartile(with_masks),
        "ratio": quartile(with_masks) / quartile(plain),
        "ratios_of_parts": sorted(parts),
    }


def events(repeats: int = 7) -> dict[str, float]:
    """Returns CPU milliseconds of events on 10 million weights in 5 layers, the lower quartile."""
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(1414, 1414) for _ in range(5)))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    for parameter in model.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.randn_like(parameter)
    pruner = Pruner(model, optimizer)
    found = [_cpu_ms(lambda level=level: pruner.prune(0.5 + 0.05 * level)) for level in range(repeats)]
    swapping = Pruner(
        model,
        optimizer,
        schedule=Constant(0.9),
        allocation=per_layer,
        regrowth=RigL(alpha=0.3, every=1, until=10_000),
    )
    swaps = []
    for _ in range(repeats):
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        swapping._masking.captured = {name: torch.randn_like(weight) for name, weight in swapping.weights.items()}
        swaps.append(_cpu_ms(swapping.step))
    weights = sum(weight.numel() for weight in pruner.weights.values())
    return {"weights": weights, "prune_ms": quartile(found), "rigl_swap_ms": quartile(swaps)}


def _cpu_ms(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return 1000 * (time.process_time() - started)


def main() -> None:
    """Prints the figures and writes them as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results: dict[str, Any] = {"machine": describe_machine(), "date": time.strftime("%Y-%m-%d"), "events": events()}
    print(results["events"])
    results["steps"] = {}
    for name, make in NETS.items():
        results["steps"][name] = found = step_ratio(make, arguments.rounds)
        low, high = found["ratios_of_parts"][0], found["ratios_of_parts"][-1]
        print(f"{name}: {found['plain_ms']:.2f} ms, with masks {found['ratio']:.3f}x ({low:.3f} to {high:.3f})")
    if arguments.output is not None:
        write_json(arguments.output, results)


if __name__ == "__main__":
    main()
