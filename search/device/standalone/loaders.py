"""Loaders: from the files of a network and an input to a function that runs the network once.

Only the standard library and NumPy are imported with this file, as with `libraries`: both are also part of the script
that measures on a device that has neither PyTorch nor this toolkit.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.device.standalone.libraries import (
    LoaderOptions,
    NetworkFiles,
    NetworkInput,
    NetworkRefused,
    NetworkRun,
    RuntimeMissing,
    import_runtime,
    line_of_error,
    load_with_executorch,
    load_with_ncnn,
    load_with_onnxruntime,
    load_with_openvino,
)


@dataclass(frozen=True)
class Loader:
    """How one library reports its version and loads a network."""

    module: str  # whose import shows that the library is there; its first part is the package for pip
    suffixes: tuple[str, ...]  # the suffixes of the files it reads
    precisions: tuple[str, ...]  # the default first
    options: LoaderOptions  # besides threads and precision, with their defaults
    load: Callable[[NetworkFiles, NetworkInput, LoaderOptions], NetworkRun]


def load_network(loader: str, files: NetworkFiles, inputs: NetworkInput, options: LoaderOptions) -> NetworkRun:
    """Returns a function that runs the network once on `inputs` and returns its outputs as a list of arrays.

    It is run once here, so a network that cannot run is refused.

    Raises:
        RuntimeMissing: the library is not installed, or lacks the requested part.
        NetworkRefused: an unknown loader or option, a missing file, or one that the library does not accept.
    """
    known, chosen = loader_named(loader), loader_options(loader, options)
    if missing := [suffix for suffix in known.suffixes if suffix not in files]:
        raise NetworkRefused(f"{loader} reads files {', '.join(known.suffixes)}, and {', '.join(missing)} is missing")
    import_runtime(loader, known.module)
    try:
        run = known.load(files, _contiguous(inputs), chosen)
        run()
    except (RuntimeMissing, NetworkRefused):
        raise
    except Exception as error:  # the libraries have no common class of errors
        raise NetworkRefused(f"{loader} refuses the network: {line_of_error(error)}") from error
    return run


def _contiguous(inputs: NetworkInput) -> NetworkInput:
    if isinstance(inputs, Mapping):
        return {name: np.ascontiguousarray(array) for name, array in inputs.items()}
    return np.ascontiguousarray(inputs)


def describe_loader(loader: str, options: LoaderOptions) -> dict[str, Any]:
    """Returns what determines the speed on this machine: name, version and every option (JSON-able).

    Raises:
        RuntimeMissing: the library is not installed.
        NetworkRefused: an unknown loader or option.
    """
    chosen = loader_options(loader, options)
    module = import_runtime(loader, loader_named(loader).module)
    version = getattr(module, "__version__", None) or importlib.metadata.version(module.__name__.split(".")[0])
    return {"name": loader, "version": str(version), **chosen}


def loader_named(loader: str) -> Loader:
    """Returns the Loader of that name.

    Raises:
        NetworkRefused: no loader has that name.
    """
    if loader not in LOADERS:
        raise NetworkRefused(f"loader={loader!r} is not known; choices: {', '.join(LOADERS)}")
    return LOADERS[loader]


def loader_options(loader: str, options: LoaderOptions) -> dict[str, Any]:
    """Returns every option of a loader, the defaults where `options` has none.

    Raises:
        NetworkRefused: an option that it does not have, or a value that it does not accept.
    """
    known = loader_named(loader)
    defaults = {"threads": 1, "precision": known.precisions[0], **known.options}
    if unknown := [name for name in options if name not in defaults]:
        raise NetworkRefused(f"{loader} has no option {unknown[0]!r}; choices: {', '.join(defaults)}")
    chosen = {**defaults, **options}
    check_thread_count(chosen["threads"])
    if chosen["precision"] not in known.precisions:
        choices = ", ".join(known.precisions)
        raise NetworkRefused(f"{loader} has no precision={chosen['precision']!r}; choices: {choices}")
    return chosen


def check_thread_count(threads: Any) -> None:
    """Checks a number of threads.

    Raises:
        NetworkRefused: it is not a whole number, or less than 1.
    """
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise NetworkRefused(f"threads={threads!r} must be a whole number, at least 1; the nearest is 1")


# For ONNX files the file determines the precision, and the option describes it.
LOADERS: Mapping[str, Loader] = {
    "onnxruntime": Loader(
        "onnxruntime", ("onnx",), ("float32", "int8"), {"provider": "CPUExecutionProvider"}, load_with_onnxruntime
    ),
    "openvino": Loader("openvino", ("onnx",), ("float32", "int8"), {"device": "CPU"}, load_with_openvino),
    "ncnn": Loader("ncnn", ("param", "bin"), ("float32", "float16"), {}, load_with_ncnn),
    "executorch": Loader("executorch.runtime", ("pte",), ("float32",), {}, load_with_executorch),
}
