"""Lanes: integer labels that travel beside a tensor, one label tensor for each thing that indexes it.

A lane has the shape of its value. Along dimensions where the label does not change it is expanded
(stride 0), so it costs next to nothing, and "the dimensions along which it varies" can be read off.
Label 0 stands for a constant: something that no weight index made.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

CONSTANT = 0


def varying(lane: Tensor) -> tuple[int, ...]:
    """Returns the dimensions along which the labels change."""
    sizes = zip(lane.shape, lane.stride(), strict=True)
    return tuple(d for d, (size, stride) in enumerate(sizes) if size > 1 and stride)


def compact(lane: Tensor) -> Tensor:
    """Returns the same labels with size 1 along every dimension where they do not change.

    Where they do, the second entry nearly always differs from the first, and the others need no look.
    """
    for d in range(lane.dim()):
        if lane.size(d) > 1:
            first = lane.narrow(d, 0, 1)
            if lane.stride(d) == 0 or (torch.equal(lane.narrow(d, 1, 1), first) and bool((lane == first).all())):
                lane = first
    return lane


def tidy(lane: Tensor) -> Tensor:
    """Returns the lane with stride 0 wherever its labels do not change (after an op that copied them)."""
    small = compact(lane)
    if 2 * small.numel() < small.untyped_storage().nbytes() // small.element_size():
        small = small.clone()  # so that the labels' full table is not kept
    return small.expand(lane.shape)


def along(labels: Tensor, dim: int, shape: Sequence[int]) -> Tensor:
    """Returns the lane of `shape` that carries the 1-d `labels` along `dim`."""
    return labels.view([-1 if d == dim else 1 for d in range(len(shape))]).expand(tuple(shape))


def vector(lane: Tensor, dim: int) -> Tensor | None:
    """Returns the labels along `dim` as a 1-d tensor, or None where they also change along another dimension."""
    only = dim % lane.dim()
    if set(varying(lane)) - {only}:
        return None
    return first_along(lane, only)


def first_along(lane: Tensor, dim: int) -> Tensor:
    """Returns the labels along `dim` as a 1-d tensor, at the first position of every other dimension."""
    only = dim % lane.dim()
    for d in reversed(range(lane.dim())):
        if d != only:
            lane = lane.select(d, 0)
    return lane


def squeeze_to(lane: Tensor, shape: Sequence[int], changed: Sequence[int]) -> Tensor:
    """Returns the lane spread over a `shape` that differs along `changed` dimensions, where it must not vary."""
    for d in changed:
        lane = lane.narrow(d, 0, 1)
    return lane.expand(tuple(shape))


def pair(first: Tensor, second: Tensor) -> Tensor:
    """Returns the distinct pairs of labels that meet, (pairs, 2), when two lanes are laid over each other."""
    shape = np.broadcast_shapes(first.shape, second.shape)
    first, second = first.expand(shape), second.expand(shape)
    for d in range(first.dim()):
        if first.size(d) > 1 and first.stride(d) == 0 and second.stride(d) == 0:
            first, second = first.narrow(d, 0, 1), second.narrow(d, 0, 1)
    keys = torch.unique((first.reshape(-1) << 32) | second.reshape(-1))
    return torch.stack((keys >> 32, keys & 0xFFFFFFFF), dim=1)
