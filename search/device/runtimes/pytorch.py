"""PyTorch itself: eager mode, where every operation is called from Python, and torch.compile, which makes one graph."""

from __future__ import annotations

import itertools
import types
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ofa.computed_weights import plain_copy
from ofa.errors import InvalidInput, nearest
from ofa.inputs import Example, Inputs, as_inputs
from search.device.standalone.libraries import line_of_error
from search.device.standalone.loaders import check_thread_count

MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")  # of the backend inductor
WARM_RUNS = 2
NUMBERS: Iterator[int] = itertools.count()

Result = TypeVar("Result")


def copied(
    net: nn.Module, device: torch.device | str, dtype: torch.dtype = torch.float32, *, channels_last: bool = False
) -> nn.Module:
    """Returns a copy of `net` in eval mode, without gradients; `net` itself is not changed."""
    plain = plain_copy(net).eval().requires_grad_(False).to(device=device, dtype=dtype)
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


class TorchCompile:
    """Compiles each network for the shape of its input, when it is loaded; that takes seconds to a minute.

    Args:
        threads: PyTorch's own, during compilation and in each run; kernels are generated for that many.
        backend: one of `torch.compiler.list_backends()`. "inductor" needs a C++ compiler.
        mode: the mode of the backend inductor; "default" for others.
        device: as of `TorchEager`.

    Raises:
        InvalidInput: fewer than one thread, an unknown backend or mode, or a device that PyTorch does not see.
    """

    name = "compile"

    def __init__(self, threads: int = 1, backend: str = "inductor", mode: str = "default", device: str = "cpu") -> None:
        backends = torch.compiler.list_backends(exclude_tags=())
        if backend not in backends:
            raise InvalidInput(f"backend={backend!r} is none of torch.compile; {nearest(str(backend), backends)}")
        if mode not in MODES:
            raise InvalidInput(f"mode={mode!r} is none of torch.compile; {nearest(str(mode), MODES)}")
        if mode != "default" and backend != "inductor":
            raise InvalidInput(f"mode={mode!r} is of the backend inductor, not of {backend}; take mode=default")
        self.threads = checked_threads(threads)
        self.backend = backend
        self.mode = mode
        self.device = checked_device(device)

    def load(self, net: nn.Module, example_input: Example) -> Callable[[], object]:
        """Returns a function that runs the compiled `net` once on `example_input` and returns its output.

        Raises:
            InvalidInput: no C++ compiler, or a network that does not compile as one graph.
        """
        network, inputs = copied(net, self.device), copied_input(example_input, self.device)
        mode = self.mode if self.backend == "inductor" else None
        compiled = torch.compile(alone(network), backend=self.backend, mode=mode, fullgraph=True, dynamic=False)
        run = on_threads(self.threads, finished(partial(compiled, *inputs.args, **inputs.kwargs), self.device))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for _ in range(WARM_RUNS):
                    run()
        except Exception as error:  # Dynamo, the backend, the compiler and the network itself may raise anything
            if "InvalidCxxCompiler" in f"{type(error).__name__} {error}":
                raise InvalidInput(
                    "torch.compile needs a C++ compiler, and there is none: install g++ or clang, or name one in CXX"
                ) from error
            name = type(net).__name__
            raise InvalidInput(f"{name} does not compile as one graph: {line_of_error(error)}") from error
        return run

    def describe(self) -> dict[str, Any]:
        """Returns name, version, backend, mode, device, threads and precision."""
        return {
            "name": self.name,
            "version": str(torch.__version__),
            "backend": self.backend,
            "mode": self.mode,
            "device": str(self.device),
            "threads": self.threads,
            "precision": "float32",
        }


def alone(network: nn.Module) -> Callable[..., Any]:
    """Returns a function that calls the network and has its own code object.

    Dynamo caches compiled graphs by the function's code object, which networks of one class share: the ninth network
    would silently run uncompiled, and every run would first check which of the others it is.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        return network(*args, **kwargs)

    code = call.__code__.replace(co_name=f"network_{next(NUMBERS)}")
    return types.FunctionType(code, call.__globals__, code.co_name, None, call.__closure__)
