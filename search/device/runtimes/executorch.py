"""ExecuTorch: PyTorch's runtime for phones, with XNNPACK on the processor."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ofa.errors import InvalidInput
from ofa.inputs import Example
from ofa.modes import op_by_op
from search.device.flat import flattened
from search.device.runtimes.portable import checked_options, describe_portable, load_portable
from search.device.standalone.libraries import LoaderOptions, line_of_error


class ExecuTorch:
    """Runs the .pte file of the exported network; making one takes a second or more.

    ExecuTorch has one pool of threads for the whole process: networks with different numbers of threads cannot be
    loaded at the same time, and the second number is refused. By default it would use all processors.

    Raises:
        InvalidInput: fewer than one thread, another precision than "float32", or ExecuTorch is not installed.
    """

    name = "executorch"
    loader = "executorch"

    def __init__(self, threads: int = 1, precision: str = "float32") -> None:
        options = {"threads": threads, "precision": precision}
        self.options: LoaderOptions = checked_options(self.loader, options, extra="executorch")

    def write(self, net: nn.Module, example_input: Example) -> dict[str, bytes]:
        """Returns the .pte file of `net`, delegated to XNNPACK where possible.

        Raises:
            InvalidInput: the network cannot be exported.
        """
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        plain = copy.deepcopy(net).to("cpu").eval()
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

    def load(self, net: nn.Module, example_input: Example) -> Callable[[], object]:
        """Returns a function that runs `net` once on `example_input` and gives a list of arrays.

        Raises:
            InvalidInput: the network cannot be exported or loaded, or others are loaded with other threads.
        """
        return load_portable(self, net, example_input)

    def describe(self) -> dict[str, Any]:
        """Returns name, version, threads and precision."""
        return describe_portable(self)
