"""ExecuTorch: PyTorch's runtime for phones, by way of XNNPACK on the processor."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ofa.errors import InvalidInput
from search.device.runtimes.portable import checked_options, describe_portable, load_portable
from search.device.standalone.loaders import line_of_error


class ExecuTorch:
    """Runs the .pte file of the exported network; making one takes a second or more.

    ExecuTorch has one pool of threads for the whole process: networks with different numbers of threads cannot be
    loaded beside each other, and the second number is refused. Left alone it would take all processors.

    Raises:
        InvalidInput: fewer than one thread, another precision than "float32", or ExecuTorch is not installed.
    """

    name = "executorch"
    loader = "executorch"

    def __init__(self, threads: int = 1, precision: str = "float32") -> None:
        given = {"threads": threads, "precision": precision}
        self.options: Mapping[str, Any] = checked_options(self.loader, given, extra="executorch")

    def write(self, net: nn.Module, example_input: torch.Tensor) -> dict[str, bytes]:
        """Returns the .pte file of `net`, with all that XNNPACK can compute left to it.

        Raises:
            InvalidInput: the network cannot be exported.
        """
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        plain = copy.deepcopy(net).to("cpu").eval()
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # dozens a network, about its own use of PyTorch
                program = torch.export.export(plain, (example_input.detach().cpu(),))
                lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
                return {"pte": bytes(lowered.to_executorch().buffer)}
        except Exception as error:  # whatever the network's own code and the many passes raise
            reason = line_of_error(error)
            raise InvalidInput(f"{type(net).__name__} cannot be exported for ExecuTorch: {reason}") from error

    def load(self, net: nn.Module, example_input: torch.Tensor) -> Callable[[], object]:
        """Returns a function that runs `net` once on `example_input` and gives a list of arrays.

        Raises:
            InvalidInput: the network cannot be exported or loaded, or others are loaded with other threads.
        """
        return load_portable(self, net, example_input)

    def describe(self) -> dict[str, Any]:
        """Returns name, version, threads and precision."""
        return describe_portable(self)
