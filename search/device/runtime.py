"""What a runtime is: something that loads a network and runs it once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from hydra.utils import get_class, instantiate
from torch import nn

from ofa.errors import InvalidInput, nearest

RUNTIMES = {
    "onnxruntime": "search.device.runtimes.onnxruntime.OnnxRuntime",
    "openvino": "search.device.runtimes.openvino.OpenVino",
    "ncnn": "search.device.runtimes.ncnn.Ncnn",
    "executorch": "search.device.runtimes.executorch.ExecuTorch",
    "eager": "search.device.runtimes.torch_eager.TorchEager",
    "compile": "search.device.runtimes.torch_compile.TorchCompile",
    "cuda": "search.device.runtimes.cuda.TorchCuda",
    "cuda_graph": "search.device.runtimes.cuda.CudaGraph",
}


@runtime_checkable
class Runtime(Protocol):
    """A way to run networks on one device; a user's own is named by `_target_`."""

    @property
    def name(self) -> str:
        """The name that profiles and cards carry."""

    def load(self, net: nn.Module, example_input: torch.Tensor) -> Callable[[], object]:
        """Returns a function that runs `net` in eval mode once on `example_input` and waits for the result.

        `net` takes one tensor, (1, C, H, W) for whole networks, and gives one; it is not changed.
        """

    def describe(self) -> dict[str, Any]:
        """Returns what decides the speed: name, version, threads, precision (JSON-able)."""


@runtime_checkable
class Portable(Runtime, Protocol):
    """A runtime whose networks are files, to be run on a machine that has neither PyTorch nor this toolkit."""

    @property
    def loader(self) -> str:
        """The name in `search.device.standalone.loaders.LOADERS` of what runs the files."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of the loader (JSON-able)."""

    def write(self, net: nn.Module, example_input: torch.Tensor) -> dict[str, bytes]:
        """Returns the files of `net` in eval mode by suffix, such as {"onnx": ...}."""


def make_runtime(config: str | Mapping[str, Any] | Runtime) -> Runtime:
    """Returns the runtime that `config` names: a short name, a mapping with `_target_`, or a runtime itself.

    Raises:
        InvalidInput: nothing of that name, one that is not installed, or one that is not a runtime.
    """
    if isinstance(config, str):
        target, arguments = RUNTIMES.get(config, config), {}
    elif isinstance(config, Mapping):
        arguments = {str(key): value for key, value in config.items()}
        target = str(arguments.pop("_target_", ""))
    else:
        return _checked(config, type(config).__name__)
    try:
        get_class(target)
    except Exception as error:  # Hydra wraps whatever the import of the user's module raised
        reason = str(error).splitlines()[-1] if str(error) else type(error).__name__
        raise InvalidInput(
            f"runtime {target!r} cannot be imported ({reason}); {nearest(target, [*RUNTIMES, *RUNTIMES.values()])}"
        ) from error
    try:
        made = instantiate({"_target_": target, **arguments})
    except Exception as error:
        cause = error.__cause__ or error
        if isinstance(cause, InvalidInput):
            raise cause from error
        raise InvalidInput(f"runtime {target!r} cannot be made: {str(cause).splitlines()[0]}") from error
    return _checked(made, target)


def _checked(made: Any, target: str) -> Runtime:
    if not isinstance(made, Runtime):
        raise InvalidInput(f"{target!r} is not a runtime: it needs `name`, load(net, example_input) and describe()")
    return made
