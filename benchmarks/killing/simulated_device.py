"""A device whose times are a function of the network alone, so that two runs of a verb can be compared to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import search.device.measuring
import search.device.timing
from ofa.inputs import Example, as_inputs

TICK = 2.0**-24  # seconds: sums and differences of whole ticks are exact

_ticks = 0


def now() -> float:
    """Returns the seconds that the device has worked so far."""
    return _ticks * TICK


def let_pass(ticks: int) -> None:
    """Has the device work so long."""
    global _ticks
    _ticks += ticks


class SimulatedDevice:
    """A runtime whose networks take some ticks for every layer, and some for its multiply-accumulates."""

    name = "simulated"

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads

    def load(self, net: nn.Module, example_input: Example) -> Callable[[], object]:
        """Returns a function that lets the time pass that `net` takes."""
        ticks = 0

        def count(module: nn.Module, _: Any, output: torch.Tensor) -> None:
            nonlocal ticks
            weight = getattr(module, "weight", None)
            places = math.prod(output.shape[2:]) if weight is not None and weight.dim() == 4 else 1
            ticks += 40 + (0 if weight is None else weight.numel() * places // 64)

        leaves = [module for module in net.modules() if not list(module.children())]
        handles = [module.register_forward_hook(count) for module in leaves]
        with torch.no_grad():
            as_inputs(example_input).call(net)
        for handle in handles:
            handle.remove()

        return lambda: let_pass(2000 + ticks)

    def describe(self) -> dict[str, Any]:
        """Returns its name."""
        return {"name": self.name, "version": "1", "threads": self.threads, "precision": "float32"}


def use_simulated_clock() -> None:
    """Makes the clocks of this process those of the device."""
    for clock in (search.device.timing.WALL, search.device.timing.CPU):
        object.__setattr__(clock, "seconds", now)
