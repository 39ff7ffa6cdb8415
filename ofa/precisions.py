"""Precisions: which layers of a network compute in int8, where the others stay in float32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn


@dataclass(frozen=True)
class LayerPrecision:
    """Layers by globs of their names, and whether they compute in int8."""

    match: tuple[str, ...]
    int8: bool


@dataclass(frozen=True)
class Int8Layers:
    """The layers of a network that compute in int8; the last group that names a layer counts, others are float32.

    What has no weights, such as a sum or a mean, computes as the layer before it, in the order of calls.
    """

    groups: tuple[LayerPrecision, ...]

    def holds(self, layer: str) -> bool:
        """Returns whether a layer computes in int8, by its name."""
        named = (group.int8 for group in reversed(self.groups) if named_by(layer, group.match))
        return next(named, False)

    def by_weight(self, net: nn.Module) -> dict[int, bool]:
        """Returns whether the layer of each parameter computes in int8, by the parameter's id: while `net` lives."""
        named = net.named_parameters()
        return {id(parameter): self.holds(name.rpartition(".")[0]) for name, parameter in named}


def named_by(layer: str, match: Iterable[str]) -> bool:
    """Returns whether one of some globs names a layer."""
    return any(fnmatchcase(layer, pattern) for pattern in match)


def int8_layers(groups: Mapping[str, tuple[str, ...]], chosen: Iterable[str]) -> Int8Layers:
    """Returns the layers of the chosen groups in int8.

    Args:
        groups: globs of layers by the group's name, in order.
        chosen: the names of those in int8.
    """
    names = set(chosen)
    return Int8Layers(tuple(LayerPrecision(match, name in names) for name, match in groups.items()))
