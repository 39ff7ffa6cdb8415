"""PyTorch on an NVIDIA GPU: called from Python, or replayed as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ofa.errors import InvalidInput, nearest
from ofa.inputs import Example, Inputs
from search.device.runtimes.pytorch import copied, copied_input

PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
WARM_RUNS = 3  # as in PyTorch's notes on CUDA graphs: libraries choose and initialize in the first runs


class TorchCuda:
    """Runs the network on the GPU with its input already there, and waits for it.

    Every run calls each kernel from Python: at batch 1 that is most of the time of a small network.

    Args:
        precision: "float32", "float16" or "bfloat16", of weights, activations and input.
        channels_last: keep channels last in memory, with which 16-bit convolutions are faster.
        device: "cuda", or "cuda:1" for the second.

    Raises:
        InvalidInput: an unknown precision, a device of another kind, or no CUDA GPU.
    """

    name = "cuda"

    def __init__(self, precision: str = "float32", channels_last: bool = False, device: str = "cuda") -> None:
        if precision not in PRECISIONS:
            raise InvalidInput(f"precision={precision!r} is unknown; {nearest(str(precision), PRECISIONS)}")
        if not isinstance(channels_last, bool):
            raise InvalidInput(f"channels_last={channels_last!r} must be true or false")
        self.precision, self.channels_last, self.device = precision, channels_last, cuda_device(self.name, device)

    def load(self, net: nn.Module, example_input: Example) -> Callable[[], object]:
        """Returns a function that runs `net` once on `example_input` and returns its output."""
        network, inputs = self._on_device(net, example_input)

        def run_once() -> object:
            with torch.inference_mode():
                result: object = network(*inputs.args, **inputs.kwargs)
            torch.cuda.synchronize(self.device)
            return result

        run_once()
        return run_once

    def describe(self) -> dict[str, Any]:
        """Returns name, versions, the GPU, precision, the arithmetic of float32 convolutions, and channels_last."""
        return {
            "name": self.name,
            "version": str(torch.__version__),
            "cuda": str(torch.version.cuda),
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "device": torch.cuda.get_device_name(self.device),
            "precision": self.precision,
            "tf32": bool(torch.backends.cudnn.allow_tf32),  # of PyTorch's settings, which are left as they are
            "channels_last": self.channels_last,
        }

    def _on_device(self, net: nn.Module, example_input: Example) -> tuple[nn.Module, Inputs]:
        dtype = PRECISIONS[self.precision]
        return (
            copied(net, self.device, dtype, channels_last=self.channels_last),
            copied_input(example_input, self.device, dtype, channels_last=self.channels_last),
        )


class CudaGraph(TorchCuda):
    """Replays the network's kernels as one CUDA graph, which leaves Python out of the run.

    Args, Raises: as `TorchCuda`. A network that asks the GPU for a value while it runs cannot be captured.
    """

    name = "cuda_graph"

    def load(self, net: nn.Module, example_input: Example) -> Callable[[], object]:
        """Returns a function that replays `net` once on `example_input` and returns its output.

        Raises:
            InvalidInput: the network cannot be captured.
        """
        network, inputs = self._on_device(net, example_input)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.device(self.device), torch.no_grad():
                beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
                beside.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(beside):
                    for _ in range(WARM_RUNS):
                        network(*inputs.args, **inputs.kwargs)
                torch.cuda.current_stream().wait_stream(beside)
                with torch.cuda.graph(graph):
                    result: object = network(*inputs.args, **inputs.kwargs)
        except RuntimeError as error:
            reason = (str(error) or repr(error)).splitlines()[0]
            raise InvalidInput(f"{type(net).__name__} cannot be captured as a CUDA graph: {reason}") from error

        # The graph reads the weights and the input from their memory: `network` and `inputs` must outlive it.
        def run_once(_alive: tuple[nn.Module, Inputs] = (network, inputs)) -> object:
            graph.replay()
            torch.cuda.synchronize(self.device)
            return result

        run_once()
        return run_once


def cuda_device(runtime: str, device: str) -> torch.device:
    """Returns the GPU of that name.

    Raises:
        InvalidInput: no GPU has that name, or it is not a CUDA GPU.
    """
    if not torch.cuda.is_available():
        raise InvalidInput(f"runtime {runtime} needs a CUDA GPU, and torch sees none")
    seen = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if device not in seen:
        raise InvalidInput(f"device={device!r} is none that torch sees; {nearest(str(device), seen)}")
    return torch.device(device)
