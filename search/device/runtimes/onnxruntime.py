"""ONNX Runtime: on the processor, or on other hardware that its build has a provider for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ofa.inputs import Example
from search.device.export import onnx_bytes, quantized
from search.device.flat import arrays_of
from search.device.runtimes.portable import checked_options, describe_portable, load_portable
from search.device.standalone.libraries import LoaderOptions


class OnnxRuntime:
    """Runs the same ONNX file that `ofa extract` writes, with a fixed number of threads.

    Args:
        threads: of the CPU provider.
        precision: "float32", or "int8" by static quantization, which is for timing only (see `quantized`).
        provider: such as "CUDAExecutionProvider", which the package onnxruntime-gpu has. A network is refused if this
            machine's ONNX Runtime lacks it; providers other than the CPU's copy inputs and outputs in every run.

    Raises:
        InvalidInput: fewer than one thread, an unknown precision, or ONNX Runtime is not installed.
    """

    name = "onnxruntime"
    loader = "onnxruntime"

    def __init__(self, threads: int = 1, precision: str = "float32", provider: str = "CPUExecutionProvider") -> None:
        options = {"threads": threads, "precision": precision, "provider": provider}
        self.options: LoaderOptions = checked_options(self.loader, options)

    def write(self, net: nn.Module, example_input: Example) -> dict[str, bytes]:
        """Returns the ONNX file of `net`.

        Raises:
            InvalidInput: the network cannot be exported or quantized.
        """
        model = onnx_bytes(net, example_input)
        if self.options["precision"] == "int8":
            model = quantized(model, arrays_of(net, example_input))
        return {"onnx": model}

    def load(self, net: nn.Module, example_input: Example) -> Callable[[], object]:
        """Returns a function that runs `net` once on `example_input` and gives a list of arrays.

        Raises:
            InvalidInput: the network cannot be exported or loaded, or the provider is missing.
        """
        return load_portable(self, net, example_input)

    def describe(self) -> dict[str, Any]:
        """Returns name, version, threads, precision and provider."""
        return describe_portable(self)
