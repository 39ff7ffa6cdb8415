"""Shared code of portable runtimes: their files are loaded here by the same code as on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ofa.errors import InvalidInput
from ofa.inputs import Example
from search.device.flat import arrays_of
from search.device.runtime import Portable
from search.device.standalone.libraries import LoaderOptions, RuntimeMissing
from search.device.standalone.loaders import describe_loader, load_network, loader_options


def load_portable(runtime: Portable, net: nn.Module, example_input: Example) -> Callable[[], object]:
    """Returns a function that runs the files of `net` written by `runtime` once on `example_input`.

    Raises:
        InvalidInput: the network cannot be written, or the library does not accept the files.
    """
    files = runtime.write(net, example_input)
    try:
        return load_network(runtime.loader, files, arrays_of(net, example_input), runtime.options)
    except ValueError as error:
        raise InvalidInput(f"{type(net).__name__}: {error}") from error


def describe_portable(runtime: Portable) -> dict[str, Any]:
    """Returns name, version, threads, precision and the library's own options (JSON-able).

    Raises:
        InvalidInput: the library was removed since the runtime was made.
    """
    try:
        return describe_loader(runtime.loader, runtime.options)
    except ValueError as error:
        raise InvalidInput(str(error)) from error


def checked_options(loader: str, options: LoaderOptions, extra: str | None = None) -> dict[str, Any]:
    """Returns every option of the loader; `extra` is this toolkit's extra that installs the library.

    Raises:
        InvalidInput: an option that the loader does not take, or its library is not installed.
    """
    try:
        describe_loader(loader, options)
    except RuntimeMissing as error:
        raise InvalidInput(f"{error}{f', or ofa-search[{extra}]' if extra else ''}") from None
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    return loader_options(loader, options)
