"""What AMC's agent sees of each layer: the eight features that do not change during an episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ofa.coupling import Group
from ofa.modes import in_mode
from ofa.prune.units import producers

if TYPE_CHECKING:
    from ofa.supernet import Supernet

Array = np.ndarray[Any, np.dtype[np.float64]]

FIXED_FEATURES = ("index", "outputs", "inputs", "height", "width", "stride", "kernel_size", "macs")
FEATURES = (*FIXED_FEATURES, "reduced", "rest", "last_action")


def fixed_features(supernet: Supernet, groups: Sequence[Group]) -> Array:
    """Returns (groups, 8) float64, each column moved and scaled to [0, 1]; a column of equal values is 0.

    A group is described by the layer that makes its channels (the first where several do): its number t, output
    channels n, input channels c, height and width of its input in pixels, stride, kernel size, and the MACs of
    all layers that make them. Linear layers have a height, width, stride and kernel size of 1.
    Source: He et al. 2018 (AMC), 1802.03494, equation 1.
    """
    macs = made_macs(supernet, groups)
    layers = [_layer(supernet, group) for group in groups]
    sizes = _input_sizes(supernet, [layer for layer in layers if layer is not None])
    rows = []
    for number, (group, layer) in enumerate(zip(groups, layers, strict=True)):
        inputs = _size(layer, ("in_channels", "in_features"), 0)
        stride, kernel = _size(layer, ("stride",), 1), _size(layer, ("kernel_size",), 1)
        height, width = sizes.get(id(layer), (1, 1))
        rows.append((number, group.channels, inputs, height, width, stride, kernel, macs[number]))
    table = np.array(rows, dtype=np.float64).reshape(len(groups), len(FIXED_FEATURES))
    low, span = table.min(axis=0), np.ptp(table, axis=0)
    scaled: Array = (table - low) / np.where(span > 0, span, 1)
    return scaled


def made_macs(supernet: Supernet, groups: Sequence[Group]) -> Array:
    """Returns the MACs of the layers that make each group's channels, at full width, (groups,) float64."""
    by_weight: dict[str, int] = {}
    for found in supernet.structure.trace.contractions:
        if found.weight is not None:
            entries = supernet.sources[found.weight].tensor.numel()
            by_weight[found.weight] = by_weight.get(found.weight, 0) + found.positions * entries
    return np.array([sum(by_weight.get(name, 0) for name in set(producers(supernet, g))) for g in groups], float)


def _layer(supernet: Supernet, group: Group) -> nn.Module | None:
    names = producers(supernet, group)
    named = [name for name in names if name.removesuffix(".weight") == group.name.partition("#")[0]]
    return supernet.model.get_submodule(supernet.owners((named or names)[0])[0]) if names else None


def _size(layer: nn.Module | None, attributes: Sequence[str], otherwise: int) -> int:
    for name in attributes:
        value = getattr(layer, name, None)
        if value is not None:
            return int(value[0] if isinstance(value, tuple) else value)
    return otherwise


def _input_sizes(supernet: Supernet, layers: Sequence[nn.Module]) -> dict[int, tuple[int, int]]:
    """Height and width of each layer's first input by the layer's id; a row of values has a height of 1."""
    sizes: dict[int, tuple[int, int]] = {}

    def note(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        value = inputs[0] if inputs else None
        if isinstance(value, Tensor) and not isinstance(layer, nn.Linear):
            spatial = value.shape[2:]
            sizes.setdefault(id(layer), (spatial[-2] if len(spatial) > 1 else 1, spatial[-1] if len(spatial) else 1))

    handles = [layer.register_forward_pre_hook(note) for layer in dict.fromkeys(layers)]
    try:
        device = next(supernet.model.parameters()).device
        with torch.no_grad(), in_mode(supernet.model, training=False):
            supernet.model(supernet.example_input.to(device))
    finally:
        for handle in handles:
            handle.remove()
    return sizes
