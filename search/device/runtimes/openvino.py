"""OpenVINO: Intel's runtime for its processors, graphics and NPUs; on Arm processors too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from search.device.runtimes.portable import checked_options, describe_portable, load_portable
from search.device.runtimes.quantized import quantized
from search.export import onnx_bytes


class OpenVino:
    """Runs the network's ONNX file, compiled for the shape of the input.

    Args:
        threads: of the device "CPU".
        precision: "float32", or "int8" by static quantisation, which is for timing only (see `quantized`).
        device: as OpenVINO calls it: "CPU", "GPU", "NPU". Only the processor is tried in our tests.

    Raises:
        InvalidInput: fewer than one thread, an unknown precision, or OpenVINO is not installed.
    """

    name = "openvino"
    loader = "openvino"

    def __init__(self, threads: int = 1, precision: str = "float32", device: str = "CPU") -> None:
        given = {"threads": threads, "precision": precision, "device": device}
        self.options: Mapping[str, Any] = checked_options(self.loader, given, extra="openvino")

    def write(self, net: nn.Module, example_input: torch.Tensor) -> dict[str, bytes]:
        """Returns the ONNX file of `net`.

        Raises:
            InvalidInput: the network cannot be exported or quantised.
        """
        model = onnx_bytes(net, example_input)
        if self.options["precision"] == "int8":
            model = quantized(model, example_input.detach().cpu().numpy())
        return {"onnx": model}

    def load(self, net: nn.Module, example_input: torch.Tensor) -> Callable[[], object]:
        """Returns a function that runs `net` once on `example_input` and gives a list of arrays.

        Raises:
            InvalidInput: the network cannot be exported or loaded, or OpenVINO does not see the device.
        """
        return load_portable(self, net, example_input)

    def describe(self) -> dict[str, Any]:
        """Returns name, version, threads, precision and device."""
        return describe_portable(self)
