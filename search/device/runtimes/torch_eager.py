"""PyTorch as it is: every operation called from Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ofa.errors import InvalidInput
from search.device.runtimes.torch_network import checked_threads, copied, given, on_threads


class TorchEager:
    """Runs the network in inference mode; on small networks the calls take longer than the arithmetic.

    Args:
        threads: PyTorch's own, set for each run and put back after it.
        device: "cpu", or the accelerator that PyTorch sees, such as "mps" or "xpu", which is waited for after each
            run. Only the processor is tried in our tests; for CUDA there is `TorchCuda`.

    Raises:
        InvalidInput: fewer than one thread, or a device that PyTorch does not see.
    """

    name = "eager"

    def __init__(self, threads: int = 1, device: str = "cpu") -> None:
        self.threads = checked_threads(threads)
        self.device = checked_device(device)

    def load(self, net: nn.Module, example_input: torch.Tensor) -> Callable[[], object]:
        """Returns a function that runs `net` once on `example_input` and gives the tensor that came out."""
        network, images = copied(net, self.device), given(example_input, self.device)
        return on_threads(self.threads, finished(lambda: network(images), self.device))

    def describe(self) -> dict[str, Any]:
        """Returns name, version, device, threads and precision."""
        return {
            "name": self.name,
            "version": str(torch.__version__),
            "device": str(self.device),
            "threads": self.threads,
            "precision": "float32",
        }


def finished(function: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """Returns `function` without gradients, which comes back when the device has the result."""
    if device.type == "cpu":

        def run_here() -> Any:
            with torch.inference_mode():
                return function()

        return run_here

    def run_there() -> Any:
        with torch.inference_mode():
            result = function()
        torch.accelerator.synchronize(device)
        return result

    return run_there


def checked_device(device: str) -> torch.device:
    """Returns the device of that name.

    Raises:
        InvalidInput: PyTorch does not see it.
    """
    seen = ["cpu"]
    if torch.accelerator.is_available() and (accelerator := torch.accelerator.current_accelerator()) is not None:
        seen += [
            accelerator.type,
            *(f"{accelerator.type}:{index}" for index in range(torch.accelerator.device_count())),
        ]
    if device not in seen:
        raise InvalidInput(f"device={device!r} is none that torch sees; choices: {', '.join(seen)}")
    return torch.device(device)
