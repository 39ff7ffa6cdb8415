"""ONNX Runtime, OpenVINO and ExecuTorch: their files are loaded here by the same code as on the device."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import nn

from ofa.computed_weights import plain_copy
from ofa.errors import InvalidInput
from ofa.inputs import Example
from ofa.modes import op_by_op
from search.device.export import onnx_bytes
from search.device.flat import arrays_of, flattened
from search.device.quantization import int8, timing_inputs
from search.device.standalone.libraries import LoaderOptions, RuntimeMissing, line_of_error
from search.device.standalone.loaders import describe_loader, load_network, loader_options


class FileRuntime(ABC):
    """A runtime whose files a loader of `search.device.standalone` runs, here as on the device; it has its name.

    Args:
        options: of the loader.

    Raises:
        InvalidInput: an option that the loader does not take, or its library is not installed.
    """

    name: ClassVar[str]
    loader: ClassVar[str]
    extra: ClassVar[str] = ""  # of this toolkit, which installs the library

    def __init__(self, **options: Any) -> None:
        try:
            describe_loader(self.loader, options)
        except RuntimeMissing as error:
            raise InvalidInput(f"{error}{f', or ofa-search[{self.extra}]' if self.extra else ''}") from None
        except ValueError as error:
            raise InvalidInput(str(error)) from None
        self.options: LoaderOptions = loader_options(self.loader, options)

    @abstractmethod
    def write(self, net: nn.Module, example_input: Example) -> dict[str, bytes]:
        """Returns the files of `net` by suffix.

        Raises:
            InvalidInput: the network cannot be converted.
        """

    def load(self, net: nn.Module, example_input: Example) -> Callable[[], object]:
        """Returns a function that runs `net` once on `example_input` and gives a list of arrays.

        Raises:
            InvalidInput: the network cannot be converted, or the library does not accept the files.
        """
        files = self.write(net, example_input)
        try:
            return load_network(self.loader, files, arrays_of(net, example_input), self.options)
        except ValueError as error:
            raise InvalidInput(f"{type(net).__name__}: {error}") from error

    def describe(self) -> dict[str, Any]:
        """Returns name, version, threads, precision and the library's own options (JSON-able).

        Raises:
            InvalidInput: the library was removed since the runtime was made.
        """
        try:
            return describe_loader(self.loader, self.options)
        except ValueError as error:
            raise InvalidInput(str(error)) from error


class _OnnxFiles(FileRuntime):
    def write(self, net: nn.Module, example_input: Example) -> dict[str, bytes]:
        """Returns the ONNX file of `net`.

        Raises:
            InvalidInput: the network cannot be exported or quantized.
        """
        model = onnx_bytes(net, example_input)
        if self.options["precision"] == "int8":
            model = int8(model, timing_inputs(model, arrays_of(net, example_input)))
        return {"onnx": model}


class OnnxRuntime(_OnnxFiles):
    """Runs the same ONNX file that `ofa extract` writes, with a fixed number of threads.

    Args:
        threads: of the CPU provider.
        precision: "float32", or "int8" by static quantization, with the scales of `timing_inputs`: for timing only.
        provider: such as "CUDAExecutionProvider", which the package onnxruntime-gpu has. A network is refused if this
            machine's ONNX Runtime lacks it; providers other than the CPU's copy inputs and outputs in every run.

    Raises:
        InvalidInput: fewer than one thread, an unknown precision, or ONNX Runtime is not installed.
    """

    name = loader = "onnxruntime"

    def __init__(self, threads: int = 1, precision: str = "float32", provider: str = "CPUExecutionProvider") -> None:
        super().__init__(threads=threads, precision=precision, provider=provider)


class OpenVino(_OnnxFiles):
    """Runs the network's ONNX file, compiled for the shape of the input.

    Args:
        threads: of the device "CPU".
        precision: "float32", or "int8" by static quantization, with the scales of `timing_inputs`: for timing only.
        device: OpenVINO's name: "CPU", "GPU", "NPU". Only the processor is covered by tests.

    Raises:
        InvalidInput: fewer than one thread, an unknown precision, or OpenVINO is not installed.
    """

    name = loader = "openvino"
    extra = "openvino"

    def __init__(self, threads: int = 1, precision: str = "float32", device: str = "CPU") -> None:
        super().__init__(threads=threads, precision=precision, device=device)


class ExecuTorch(FileRuntime):
    """Runs the .pte file of the exported network; making one takes a second or more.

    ExecuTorch has one pool of threads for the whole process: networks with different numbers of threads cannot be
    loaded at the same time, and the second number is refused. By default it would use all processors.

    Raises:
        InvalidInput: fewer than one thread, another precision than "float32", or ExecuTorch is not installed.
    """

    name = loader = "executorch"
    extra = "executorch"

    def __init__(self, threads: int = 1, precision: str = "float32") -> None:
        super().__init__(threads=threads, precision=precision)

    def write(self, net: nn.Module, example_input: Example) -> dict[str, bytes]:
        """Returns the .pte file of `net`, delegated to XNNPACK where possible.

        Raises:
            InvalidInput: the network cannot be exported.
        """
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        plain = plain_copy(net).to("cpu").eval()
        try:
            with warnings.catch_warnings(), torch.no_grad(), op_by_op():
                warnings.simplefilter("ignore")  # dozens per network, about its own use of PyTorch
                flat = flattened(plain, example_input)
                program = torch.export.export(flat.net, tuple(flat.inputs.values()))
                lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
                return {"pte": bytes(lowered.to_executorch().buffer)}
        except Exception as error:  # whatever the network's own code and the many passes raise
            reason = line_of_error(error)
            raise InvalidInput(f"{type(net).__name__} cannot be exported for ExecuTorch: {reason}") from error
