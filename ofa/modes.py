"""Modes that networks run in, changed temporarily and restored exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn


@contextmanager
def in_mode(net: nn.Module, *, training: bool) -> Iterator[None]:
    """Puts every module of `net` in train or eval mode; afterwards each has the mode it had."""
    other = [module for module in net.modules() if module.training != training]
    net.train(training)
    try:
        yield
    finally:
        for module in other:
            module.training = not training


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leaves modes that a caller may be in: inference mode, autocast on the CPU, and a default device but the CPU."""
    device = torch.device("cpu") if torch.get_default_device().type != "cpu" else nullcontext()
    with torch.inference_mode(False), torch.autocast("cpu", enabled=False), device:
        yield


@contextmanager
def op_by_op() -> Iterator[None]:
    """Keeps torch from its fused attention and transformer layers, which no tracer and no exporter sees into."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


@contextmanager
def recurrence_in_steps(model: nn.Module) -> Iterator[None]:
    """Keeps torch from its fused recurrent layers, inside which nothing is seen; other models keep their kernels."""
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(enabled and not any(isinstance(part, nn.RNNBase) for part in model.modules()))
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(enabled)
