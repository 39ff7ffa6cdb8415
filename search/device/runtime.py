"""The protocol of a runtime, which loads a network and runs it, and making one from its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from hydra.utils import get_class, instantiate
from torch import nn

from ofa.errors import InvalidInput, nearest
from ofa.inputs import Example, as_inputs
from search.config.rules import Target
from search.device.standalone.libraries import LoaderOptions

RUNTIMES = {
    "onnxruntime": "search.device.runtimes.OnnxRuntime",
    "openvino": "search.device.runtimes.OpenVino",
    "ncnn": "search.device.runtimes.Ncnn",
    "executorch": "search.device.runtimes.ExecuTorch",
    "eager": "search.device.runtimes.TorchEager",
    "compile": "search.device.runtimes.TorchCompile",
    "cuda": "search.device.runtimes.TorchCuda",
    "cuda_graph": "search.device.runtimes.CudaGraph",
}


@runtime_checkable
class Runtime(Protocol):
    """A way to run networks on one device; a user's own is named by `_target_`."""

    @property
    def name(self) -> str:
        """The name in profiles and cards."""

    def load(self, net: nn.Module, example_input: Example) -> Callable[[], object]:
        """Returns a function that runs `net` in eval mode once on `example_input` and waits for the result.

        `example_input` is a tensor, (1, C, H, W) for networks of images, or `ofa.Inputs`; `net` is not changed.
        """

    def describe(self) -> dict[str, Any]:
        """Returns what determines the speed: name, version, threads, precision (JSON-able)."""


@runtime_checkable
class Portable(Runtime, Protocol):
    """A runtime whose networks are files that run on a machine without PyTorch and this toolkit."""

    @property
    def loader(self) -> str:
        """The name in `search.device.standalone.loaders.LOADERS` of the loader that runs the files."""

    @property
    def options(self) -> LoaderOptions:
        """The options of the loader (JSON-able)."""

    def write(self, net: nn.Module, example_input: Example) -> dict[str, bytes]:
        """Returns the files of `net` in eval mode by suffix, such as {"onnx": ...}."""


def simplest(example: Example) -> Example:
    """Returns the example as runtimes get it: a tensor where that is all there is, so that `net(example)` runs."""
    only = as_inputs(example).only
    return example if only is None else only


def make_runtime(config: str | Target | Runtime) -> Runtime:
    """Returns the runtime that `config` names: a short name, a mapping with `_target_`, or a runtime itself.

    Raises:
        InvalidInput: it has no such name, is not installed, or is not a runtime.
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
        runtime = instantiate({"_target_": target, **arguments})
    except Exception as error:
        cause = error.__cause__ or error
        if isinstance(cause, InvalidInput):
            raise cause from error
        raise InvalidInput(f"runtime {target!r} cannot be made: {str(cause).splitlines()[0]}") from error
    return _checked(runtime, target)


def _checked(runtime: Any, target: str) -> Runtime:
    if not isinstance(runtime, Runtime):
        raise InvalidInput(f"{target!r} is not a runtime: it needs `name`, load(net, example_input) and describe()")
    return runtime
