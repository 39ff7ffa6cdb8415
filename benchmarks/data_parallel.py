"""Measures what sharing a training costs: the exchange and the views of a step, and the memory of a sandwich.

    python -m benchmarks.data_parallel [--processes 2] [--steps 10] [--output benchmarks/results/data_parallel.json]

Processes are forked and form a gloo group; figures are processor time, which a busy machine changes little. The memory
is what autograd holds at most of activations during a step, of a sandwich and of its largest network alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ofa
from ofa.data import Dataset, synthetic
from ofa.models import MobileNet, ResNet
from ofa.train import TrainSettings, sandwich, single, train
from ofa.train.shared_gradients import Gradients
from tests.ofa.ranks import on_ranks

SHAPE = (3, 32, 32)


class Stopwatch:
    """Adds up the processor time of some calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the function, timed."""

        def timed(*arguments: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds += time.process_time() - start

        return timed


@dataclass
class Total:
    """The bytes that autograd holds now, and the most that it held."""

    now: int = 0
    most: int = 0


class Held:
    """A tensor that autograd holds; counts its bytes while it lives."""

    def __init__(self, total: Total, tensor: Tensor) -> None:
        self.total, self.tensor, self.bytes = total, tensor, tensor.numel() * tensor.element_size()
        total.now += self.bytes
        total.most = max(total.most, total.now)

    def __del__(self) -> None:
        self.total.now -= self.bytes


def held_at_most(supernet: ofa.Supernet, data: Dataset, strategy: Any, batch: int) -> int:
    """Returns the most bytes of activations that are held at once in some steps."""
    total = Total()
    with torch.autograd.graph.saved_tensors_hooks(partial(Held, total), lambda held: held.tensor):
        train(supernet, data, strategy, settings_of(batch, 2))
    return total.most


def settings_of(batch: int, steps: int) -> TrainSettings:
    """Returns the settings of a training of so many steps."""
    optimizer = partial(torch.optim.SGD, lr=0.01, momentum=0.9, nesterov=True, fused=True)
    return TrainSettings(optimizer=optimizer, epochs=1, batch_size=batch, stop_step=steps, validate_every=0)


def shares(rank: int, supernet: ofa.Supernet, data: Dataset, batch: int, steps: int) -> dict[str, float]:
    """Returns the share that views and exchange have in a step's processor time, in the process of this rank."""
    whole, views, exchange = Stopwatch(), Stopwatch(), Stopwatch()
    subnet, add_up = supernet.subnet, Gradients.add_up
    supernet.subnet = views.around(subnet)  # type: ignore[method-assign]
    Gradients.add_up = exchange.around(add_up)  # type: ignore[method-assign]
    whole.around(train)(supernet, data, sandwich, settings_of(batch, steps))
    Gradients.add_up = add_up  # type: ignore[method-assign]
    return {
        "step_ms": 1e3 * whole.seconds / steps,
        "views": views.seconds / whole.seconds,
        "exchange": exchange.seconds / whole.seconds,
        "together": (views.seconds + exchange.seconds) / whole.seconds,
    }


def main() -> None:
    """Prints a line for each network and writes the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64, help="examples a step and process")
    parser.add_argument("--quick", action="store_true", help="a small network alone")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    models: dict[str, nn.Module] = {"ResNet-8": ResNet(SHAPE, 10, depth=8, widths=(8, 16, 16))}
    if not options.quick:
        models = {"ResNet-20": ResNet(SHAPE, 10, depth=20), "MobileNet": MobileNet(SHAPE, 10)}
    batch = options.batch * options.processes
    count = max(100, max(options.steps * batch, 2 * options.batch) * 5 // 3 + 30)  # some of them are held out
    data = synthetic(channels=SHAPE[0], image_size=SHAPE[1], num_classes=10, samples=count)
    figures: dict[str, dict[str, float]] = {}
    for name, model in models.items():
        supernet = ofa.Supernet(model, torch.zeros(2, *SHAPE))
        rows = on_ranks(
            options.processes, partial(shares, supernet=supernet, data=data, batch=batch, steps=options.steps)
        )
        found = {key: max(row[key] for row in rows) for key in rows[0]}
        alone, all_four = (held_at_most(supernet, data, each, options.batch) for each in (single, sandwich))
        figures[name] = found | {"largest_mib": alone / 2**20, "sandwich_mib": all_four / 2**20}
        print(f"{name:10} " + "  ".join(f"{key} {value:.4g}" for key, value in figures[name].items()), flush=True)
    if options.output:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
        made = {"commit": commit.stdout.strip(), "torch": torch.__version__, "processes": options.processes}
        options.output.write_text(json.dumps(made | {"batch": options.batch, "figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
