"""Plans: how an Arch slices every tensor of the supernet, computed once and cached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa.structure.coupling import Group, IntArray
from ofa.structure.trace import Source

# (dimension, start, length) of a contiguous run.
Narrow = tuple[int, int, int]


@dataclass(frozen=True)
class Slice:
    """How one tensor is cut: runs to narrow to, and positions to gather where they are not one run."""

    narrows: tuple[Narrow, ...]
    gathers: tuple[tuple[int, Tensor], ...]
    shape: tuple[int, ...]
    transform: Callable[[Tensor], Tensor] | None = None  # of the kernel, after the cut

    @property
    def is_whole(self) -> bool:
        """Whether the tensor stays as it is."""
        return not self.narrows and not self.gathers and self.transform is None

    def __call__(self, tensor: Tensor) -> Tensor:
        """Returns the cut tensor; a view of `tensor` unless positions had to be gathered."""
        for dim, start, length in self.narrows:
            tensor = tensor.narrow(dim, start, length)
        for dim, positions in self.gathers:
            tensor = tensor.index_select(dim, positions.to(tensor.device))
        return tensor if self.transform is None else self.transform(tensor)


@dataclass(frozen=True)
class Axis:
    """One dimension of one tensor: which groups own coordinates along it, and which coordinates no group owns."""

    dim: int
    size: int
    groups: tuple[int, ...]
    indices: tuple[IntArray, ...]
    free: IntArray

    def kept_positions(self, units: Sequence[int]) -> IntArray:
        """Returns the kept positions, ascending, when each group keeps its first units, as many as given."""
        parts = [index[:count].reshape(-1) for index, count in zip(self.indices, units, strict=True)]
        return np.sort(np.concatenate([self.free, *parts]))


def find_axes(groups: Sequence[Group], sources: Mapping[str, Source]) -> dict[str, tuple[Axis, ...]]:
    """Returns for every parameter and buffer the dimensions along which groups lie."""
    owners: dict[tuple[str, int], list[tuple[int, IntArray]]] = {}
    for number, group in enumerate(groups):
        for member in group.members:
            owners.setdefault((member.source, member.dim), []).append((number, member.index))
    axes: dict[str, list[Axis]] = {}
    for (name, dim), owned in sorted(owners.items()):
        size = sources[name].shape[dim]
        owned_positions = np.concatenate([index.reshape(-1) for _, index in owned])
        is_free = np.ones(size, dtype=bool)
        is_free[owned_positions] = False
        free = np.flatnonzero(is_free)
        numbers, indices = zip(*owned, strict=True)
        axes.setdefault(name, []).append(Axis(dim, size, numbers, indices, free))
    return {name: tuple(parts) for name, parts in axes.items()}


class Slicer:
    """Cuts tensors for given widths; results are cached, since widths repeat far more often than Archs."""

    def __init__(self, axes: Mapping[str, tuple[Axis, ...]], sources: Mapping[str, Source]) -> None:
        self._axes = axes
        self._sources = sources
        self._cuts: dict[tuple[str, int, tuple[int, ...]], Narrow | tuple[int, Tensor] | None] = {}
        self._slices: dict[tuple[Any, ...], Slice] = {}

    def slice(self, name: str, units: Sequence[int], kernel: int | None = None) -> Slice:
        """Returns the slice of tensor `name` when group i keeps `units[i]` units; kernels keep their center."""
        axes = self._axes.get(name, ())
        key = (name, kernel, *(units[number] for axis in axes for number in axis.groups))
        result = self._slices.get(key)
        if result is None:
            cuts = [self._cut(name, axis, tuple(units[number] for number in axis.groups)) for axis in axes]
            result = self._slices[key] = _assemble(cuts, self._sources[name].shape, kernel)
        return result

    def _cut(self, name: str, axis: Axis, units: tuple[int, ...]) -> Narrow | tuple[int, Tensor] | None:
        key = (name, axis.dim, units)
        if key not in self._cuts:
            positions = axis.kept_positions(units)
            if len(positions) == axis.size:
                self._cuts[key] = None
            elif len(positions) == 0 or positions[-1] - positions[0] + 1 == len(positions):
                self._cuts[key] = (axis.dim, int(positions[0]) if len(positions) else 0, len(positions))
            else:
                self._cuts[key] = (axis.dim, torch.from_numpy(positions))
        return self._cuts[key]


def _assemble(cuts: Sequence[Narrow | tuple[int, Tensor] | None], shape: tuple[int, ...], kernel: int | None) -> Slice:
    narrows: list[Narrow] = []
    gathers: list[tuple[int, Tensor]] = []
    size = list(shape)
    for cut in cuts:
        if cut is not None and len(cut) == 3:
            narrows.append(cut)
            size[cut[0]] = cut[2]
        elif cut is not None:
            gathers.append(cut)
            size[cut[0]] = len(cut[1])
    if kernel is not None:
        for dim in range(2, len(shape)):
            if shape[dim] > kernel:
                narrows.append((dim, (shape[dim] - kernel) // 2, kernel))
                size[dim] = kernel
    return Slice(tuple(narrows), tuple(gathers), tuple(size))
