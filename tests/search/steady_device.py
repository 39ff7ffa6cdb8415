"""Networks take a time that is a function of them alone: no figure hangs on what else runs here.

It also makes measuring short: the first network of a command is loaded and run for real, and rounds agree as soon as
there are enough of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from torch import nn

from benchmarks.killing.simulated_device import SimulatedDevice
from ofa.inputs import Example
from search.device.runtimes.portable import OnnxRuntime
from search.device.runtimes.pytorch import TorchEager
from tests.search.simulated_clock import simulated_clock

Load = Callable[[Any, nn.Module, Example], Callable[[], object]]


def steady(load: Load) -> Load:
    """Returns a runtime's `load` whose networks let the simulated time pass that they take, the first after a run."""

    def load_steadily(runtime: Any, net: nn.Module, example_input: Example) -> Callable[[], object]:
        if "has_run" not in vars(runtime):
            runtime.has_run = load(runtime, net, example_input)() is not None
        return SimulatedDevice().load(net, example_input)

    return load_steadily


def runtimes_of(module: ModuleType) -> list[Any]:
    """Returns the runtimes that a module defines."""
    return [each for each in vars(module).values() if hasattr(each, "load") and hasattr(each, "describe")]


@contextmanager
def steady_device(*more: Any) -> Iterator[None]:
    """Measurements of this process alone, of `more` runtimes too; commands in others still look at the clock."""
    with pytest.MonkeyPatch.context() as patch, simulated_clock():
        for runtime in (OnnxRuntime, TorchEager, *more):
            patch.setattr(runtime, "load", steady(runtime.load))
        yield


@pytest.fixture(scope="module", autouse=True)
def _the_device_is_steady() -> Iterator[None]:
    """A fixture of a session comes before it, and measures under `steady_device` itself."""
    with steady_device():
        yield
