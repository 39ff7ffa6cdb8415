"""What portable runtimes share: the code that loads their files here is the code that loads them on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ofa.errors import InvalidInput
from search.device.runtime import Portable
from search.device.standalone.loaders import RuntimeMissing, describe_loader, load_network, loader_options


def load_portable(runtime: Portable, net: nn.Module, example_input: torch.Tensor) -> Callable[[], object]:
    """Returns a function that runs the files which `runtime` writes of `net`, once on `example_input`.

    Raises:
        InvalidInput: the network cannot be written, or the library does not take what was written.
    """
    files = runtime.write(net, example_input)
    try:
        return load_network(runtime.loader, files, example_input.detach().cpu().numpy(), runtime.options)
    except ValueError as error:
        raise InvalidInput(f"{type(net).__name__}: {error}") from error


def describe_portable(runtime: Portable) -> dict[str, Any]:
    """Returns name, version, threads, precision and the library's own options (JSON-able).

    Raises:
        InvalidInput: the library has gone since the runtime was made.
    """
    try:
        return describe_loader(runtime.loader, runtime.options)
    except ValueError as error:
        raise InvalidInput(str(error)) from error


def checked_options(loader: str, options: Mapping[str, Any], extra: str | None = None) -> dict[str, Any]:
    """Returns every option of the loader; `extra` is that of this toolkit which brings the library.

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
