"""What runtimes of PyTorch share: a copy of the network to run, and a number of threads to run it on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from ofa.errors import InvalidInput
from search.device.standalone.loaders import check_thread_count

Result = TypeVar("Result")


def copied(
    net: nn.Module, device: torch.device | str, dtype: torch.dtype = torch.float32, *, channels_last: bool = False
) -> nn.Module:
    """Returns a copy of `net` in eval mode, without gradients; `net` itself is not touched."""
    plain = copy.deepcopy(net).eval().requires_grad_(False).to(device=device, dtype=dtype)
    if channels_last:
        plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return plain


def given(
    example_input: torch.Tensor,
    device: torch.device | str,
    dtype: torch.dtype = torch.float32,
    *,
    channels_last: bool = False,
) -> torch.Tensor:
    """Returns a copy of the input where and how the network wants it; whole numbers keep their type."""
    tensor = example_input.detach().to(device, copy=True)
    tensor = tensor.to(dtype) if tensor.is_floating_point() else tensor
    if channels_last and tensor.dim() == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor


def on_threads(threads: int, function: Callable[[], Result]) -> Callable[[], Result]:
    """Returns `function` with PyTorch on that many threads while it runs.

    The number is the whole process's: it is put back, so that what comes between two runs keeps its own. Setting it
    takes a tenth of a microsecond.
    """

    def run_once() -> Result:
        before = torch.get_num_threads()
        if before == threads:
            return function()
        torch.set_num_threads(threads)
        try:
            return function()
        finally:
            torch.set_num_threads(before)

    return run_once


def checked_threads(threads: int) -> int:
    """Returns the number of threads.

    Raises:
        InvalidInput: it is not a whole number, or less than 1.
    """
    try:
        check_thread_count(threads)
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    return threads
