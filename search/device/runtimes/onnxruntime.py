"""ONNX Runtime: the processor, or what else a build of it has a provider for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from search.device.runtimes.portable import checked_options, describe_portable, load_portable
from search.device.runtimes.quantized import quantized
from search.export import onnx_bytes


class OnnxRuntime:
    """Runs the same ONNX file that is handed over later, with a stated number of threads.

    Args:
        threads: of the CPU provider.
        precision: "float32", or "int8" by static quantisation, which is for timing only (see `quantized`).
        provider: such as "CUDAExecutionProvider", which the package onnxruntime-gpu has in place of onnxruntime. A
            network is refused where this machine's ONNX Runtime lacks it; another than the CPU's copies inputs and
            outputs in every run.

    Raises:
        InvalidInput: fewer than one thread, an unknown precision, or ONNX Runtime is not installed.
    """

    name = "onnxruntime"
    loader = "onnxruntime"

    def __init__(self, threads: int = 1, precision: str = "float32", provider: str = "CPUExecutionProvider") -> None:
        given = {"threads": threads, "precision": precision, "provider": provider}
        self.options: Mapping[str, Any] = checked_options(self.loader, given)

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
            InvalidInput: the network cannot be exported or loaded, or the provider is missing.
        """
        return load_portable(self, net, example_input)

    def describe(self) -> dict[str, Any]:
        """Returns name, version, threads, precision and provider."""
        return describe_portable(self)
