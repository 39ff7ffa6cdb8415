"""OpenVINO: Intel's runtime for its processors, graphics and NPUs; on Arm processors too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ofa.inputs import Example
from search.device.export import onnx_bytes, quantized
from search.device.flat import arrays_of
from search.device.runtimes.portable import checked_options, describe_portable, load_portable
from search.device.standalone.libraries import LoaderOptions


class OpenVino:
    """Runs the network's ONNX file, compiled for the shape of the input.

    Args:
        threads: of the device "CPU".
        precision: "float32", or "int8" by static quantization, which is for timing only (see `quantized`).
        device: OpenVINO's name: "CPU", "GPU", "NPU". Only the processor is covered by tests.

    Raises:
        InvalidInput: fewer than one thread, an unknown precision, or OpenVINO is not installed.
    """

    name = "openvino"
    loader = "openvino"

    def __init__(self, threads: int = 1, precision: str = "float32", device: str = "CPU") -> None:
        options = {"threads": threads, "precision": precision, "device": device}
        self.options: LoaderOptions = checked_options(self.loader, options, extra="openvino")

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
            InvalidInput: the network cannot be exported or loaded, or OpenVINO does not see the device.
        """
        return load_portable(self, net, example_input)

    def describe(self) -> dict[str, Any]:
        """Returns name, version, threads, precision and device."""
        return describe_portable(self)
