"""PyTorch's eager mode: every operation is called from Python."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import Example, Inputs, as_inputs
from search.device.standalone.loaders import check_thread_count

Result = TypeVar("Result")


def copied(
    net: nn.Module, device: torch.device | str, dtype: torch.dtype = torch.float32, *, channels_last: bool = False
) -> nn.Module:
    """Returns a copy of `net` in eval mode, without gradients; `net` itself is not changed."""
    plain = copy.deepcopy(net).eval().requires_grad_(False).to(device=device, dtype=dtype)
    if channels_last:
        plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return plain


def copied_input(
    example_input: Example,
    device: torch.device | str,
    dtype: torch.dtype = torch.float32,
    *,
    channels_last: bool = False,
) -> Inputs:
    """Returns a copy of the inputs on the device and in the format of the network; integers keep their type."""

    def moved(tensor: Tensor) -> Tensor:
        tensor = tensor.detach().to(device, copy=True)
        tensor = tensor.to(dtype) if tensor.is_floating_point() else tensor
        if channels_last and tensor.dim() == 4:
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    return as_inputs(example_input).map(moved)


def on_threads(threads: int, function: Callable[[], Result]) -> Callable[[], Result]:
    """Returns `function` with PyTorch on that many threads while it runs.

    The number applies to the whole process: it is restored, so that code between two runs keeps its own. Setting it
    takes a tenth of a microsecond.
    """

    def run_once() -> Result:
        before = torch.get_num_threads()
        if before == threads:
            return function()
        torch.set_num_threads(threads)
        try:
            return function()
        finally:
            torch.set_num_threads(before)

    return run_once


def checked_threads(threads: int) -> int:
    """Returns the number of threads.

    Raises:
        InvalidInput: it is not a whole number, or less than 1.
    """
    try:
        check_thread_count(threads)
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    return threads


class TorchEager:
    """Runs the network in inference mode; on small networks the calls take longer than the arithmetic.

    Args:
        threads: PyTorch's own, set for each run and restored after it.
        device: "cpu", or the accelerator that PyTorch sees, such as "mps" or "xpu", which is waited for after each
            run. Only the processor is covered by tests; for CUDA there is `TorchCuda`.

    Raises:
        InvalidInput: fewer than one thread, or a device that PyTorch does not see.
    """

    name = "eager"

    def __init__(self, threads: int = 1, device: str = "cpu") -> None:
        self.threads = checked_threads(threads)
        self.device = checked_device(device)

    def load(self, net: nn.Module, example_input: Example) -> Callable[[], object]:
        """Returns a function that runs `net` once on `example_input` and returns its output."""
        network, inputs = copied(net, self.device), copied_input(example_input, self.device)
        return on_threads(self.threads, finished(partial(network, *inputs.args, **inputs.kwargs), self.device))

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
    """Returns `function` without gradients; it returns when the device has finished the result."""
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
