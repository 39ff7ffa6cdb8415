"""torch.compile: the network as one graph, with kernels generated for it."""

from __future__ import annotations

import itertools
import types
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from ofa.errors import InvalidInput, nearest
from ofa.inputs import Example
from search.device.runtimes.torch_eager import (
    checked_device,
    checked_threads,
    copied,
    copied_input,
    finished,
    on_threads,
)
from search.device.standalone.libraries import line_of_error

MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")  # of the backend inductor
WARM_RUNS = 2
NUMBERS: Iterator[int] = itertools.count()


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
