"""Gradient checkpointing: activations inside blocks are computed anew in the backward pass, and not kept until then.

Source: Chen et al. 2016, 1604.06174.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ofa.arch import Arch
from ofa.norms import BatchNorm
from ofa.train.step import training_view

if TYPE_CHECKING:
    from ofa.supernet import Supernet

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def recomputed_view(supernet: Supernet, arch: Arch) -> nn.Module:
    """Returns a view for training, see `training_view`, of which blocks are computed anew in its backward pass."""
    view = training_view(supernet, arch)
    for block in blocks_of(view):
        recompute_(block)
    return view


@contextmanager
def recomputed(net: nn.Module) -> Iterator[None]:
    """Has the blocks of a network computed anew in backward passes of what runs within the block below."""
    blocks = blocks_of(net)
    for block in blocks:
        recompute_(block)
    try:
        yield
    finally:
        for block in blocks:
            del block.__dict__["forward"]


def blocks_of(net: nn.Module) -> list[nn.Module]:
    """Returns the outermost modules with siblings of their class and layers inside; the whole where there are none."""
    blocks = list(_blocks_below(net))
    return blocks or [net]


def _blocks_below(module: nn.Module) -> Iterator[nn.Module]:
    classes = Counter(type(child) for child in module.children())
    for child in module.children():
        has_layers = next(child.children(), None) is not None
        if has_layers and not isinstance(child, _CONTAINERS) and classes[type(child)] > 1:
            yield child
        else:
            yield from _blocks_below(child)


def recompute_(block: nn.Module) -> None:
    """Has a module computed anew in backward passes, until its own `forward` is deleted."""
    contexts = partial(_contexts, block)
    block.__dict__["forward"] = partial(checkpoint, block.forward, use_reentrant=False, context_fn=contexts)


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[object], AbstractContextManager[object]]:
    """What a block runs in: as it is the first time, its norm statistics left alone when it is computed anew."""
    return nullcontext(), _norms_left_alone(block)


@contextmanager
def _norms_left_alone(block: nn.Module) -> Iterator[None]:
    norms = [module for module in block.modules() if isinstance(module, BatchNorm)]
    statistics = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
    before = [buffer.clone() for buffer in statistics]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(statistics, before, strict=True):
                buffer.copy_(value)
