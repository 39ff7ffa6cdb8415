"""Layer-wise learning rates: layers near the input, whose features carry over, move less than those near the output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ofa.modes import in_mode

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def layer_rates(net: nn.Module, run: Callable[[nn.Module], Any], decay: float) -> dict[str, float]:
    """Returns a factor on the learning rate of each parameter, by its name: `decay` for each level below the last.

    Args:
        run: calls the network once; see `layer_levels`.
        decay: more than 0 and at most 1; 1 for the same rate everywhere.

    Source: Howard and Ruder 2018 (ULMFiT), 1801.06146, section 3.2; by blocks: Clark et al. 2020, 2003.10555.
    """
    levels = layer_levels(net, run)
    last = max(levels.values(), default=0)
    return {name: decay ** (last - level) for name, level in levels.items()}


def layer_levels(net: nn.Module, run: Callable[[nn.Module], Any]) -> dict[str, int]:
    """Returns the level of each parameter, by its first name, counted from 0 in the order in which layers are used.

    A block is a level: a module with siblings of its class, such as blocks.3. What runs between blocks (patches and
    positions; the last norm and the head) is one level together. In a network of fewer than two blocks every layer with
    a matrix is a level, with the norm that follows it. A layer that is not called by itself has the level of the module
    that holds it.

    Args:
        run: calls the network once, in eval mode; the global random state is left as it was.
    """
    order = _order_of_use(net, run)
    blocks = {path: _block_of(net, path) for path in order}
    by_block = len({block for block in blocks.values() if block}) > 1
    level, current = -1, None
    of_module: dict[str, int] = {}
    of_block: dict[str, int] = {}
    for path in order:
        block = blocks[path] if by_block else ""
        own = list(net.get_submodule(path).parameters(recurse=False))
        if block in of_block:
            of_module[path] = of_block[block]
            continue
        starts = block != current if by_block else any(each.dim() > 1 for each in own)
        if starts or level < 0:
            level += 1
        current = block
        of_module[path] = level
        if block:
            of_block[block] = level
    return {name: _level_of(name.rpartition(".")[0], of_module) for name, _ in net.named_parameters()}


def _order_of_use(net: nn.Module, run: Callable[[nn.Module], Any]) -> list[str]:
    """The paths of modules with parameters of their own, in the order in which they first run."""
    order: dict[str, None] = {}
    handles = []
    for path, module in net.named_modules():
        if next(module.parameters(recurse=False), None) is not None:
            handles.append(module.register_forward_pre_hook(lambda *_, path=path: order.setdefault(path)))
    try:
        with torch.random.fork_rng(), in_mode(net, training=False), torch.no_grad():
            run(net)
    finally:
        for handle in handles:
            handle.remove()
    return list(order)


def _block_of(net: nn.Module, path: str) -> str:
    """The outermost block that a module is in, or is; empty where it is in none."""
    parts = path.split(".") if path else []
    for count in range(1, len(parts) + 1):
        parent, block = net.get_submodule(".".join(parts[: count - 1])), net.get_submodule(".".join(parts[:count]))
        classes = Counter(type(child) for child in parent.children())
        has_layers = next(block.children(), None) is not None
        if has_layers and not isinstance(block, _CONTAINERS) and classes[type(block)] > 1:
            return ".".join(parts[:count])
    return ""


def _level_of(path: str, levels: dict[str, int]) -> int:
    """The level of a module, or of the nearest one around it; that of the output where none of them ran."""
    while path and path not in levels:
        path = path.rpartition(".")[0]
    return levels.get(path, max(levels.values(), default=0))
