"""ONNX Runtime on this machine's processor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ofa.errors import InvalidInput
from search.export import INPUT, OUTPUT, onnx_bytes


class OnnxRuntime:
    """Runs the same ONNX file that is handed over later, on the CPU with a stated number of threads.

    Raises:
        InvalidInput: fewer than one thread, or ONNX Runtime is not installed.
    """

    name = "onnxruntime"

    def __init__(self, threads: int = 1) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise InvalidInput(f"threads={threads!r} must be a whole number, at least 1; the nearest is 1")
        try:
            import onnxruntime
        except ImportError:
            raise InvalidInput("runtime onnxruntime is not installed: pip install onnxruntime") from None
        self.threads = threads
        self._library = onnxruntime

    def load(self, net: nn.Module, example_input: torch.Tensor) -> Callable[[], object]:
        """Returns a function that runs `net` once on `example_input`.

        Raises:
            InvalidInput: the network cannot be exported or loaded.
        """
        options = self._library.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        model = onnx_bytes(net, example_input)
        try:
            session = self._library.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common class of their own
            raise InvalidInput(
                f"ONNX Runtime cannot load {type(net).__name__}: {str(error).splitlines()[0]}"
            ) from error
        outputs, inputs = [OUTPUT], {INPUT: example_input.detach().cpu().numpy()}

        def run_once() -> object:
            return session.run(outputs, inputs)

        return run_once

    def describe(self) -> dict[str, Any]:
        """Returns name, version, provider, threads and precision."""
        return {
            "name": self.name,
            "version": str(self._library.__version__),
            "provider": "CPUExecutionProvider",
            "threads": self.threads,
            "precision": "float32",
        }
