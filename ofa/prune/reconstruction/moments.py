"""Moments of what a weight multiplies: all that least squares needs of the data, one layer at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_POSITIONS = 1 << 13  # in float64 at once


@dataclass(frozen=True)
class Moments:
    """Sums over positions of a layer's inputs x, and of the inputs z that it would have in the reference network.

    Attributes:
        count: of positions, (groups,).
        gram: sum of x x^T, (groups, d, d), float64.
        cross: sum of x z^T, alike.
        total, reference_total: sums of x and of z, (groups, d).
    """

    count: Tensor
    gram: Tensor
    cross: Tensor
    total: Tensor
    reference_total: Tensor

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.count + other.count,
            self.gram + other.gram,
            self.cross + other.cross,
            self.total + other.total,
            self.reference_total + other.reference_total,
        )

    def centered(self) -> Moments:
        """Returns the moments about the means, where a bias takes the means up; totals stay."""
        count = self.count[:, None, None]
        gram = self.gram - self.total[:, :, None] * self.total[:, None, :] / count
        cross = self.cross - self.total[:, :, None] * self.reference_total[:, None, :] / count
        return Moments(self.count, gram, cross, self.total, self.reference_total)


def moments_of(inputs: Tensor, reference: Tensor | None = None) -> Moments:
    """Returns the moments of inputs (groups, positions, d), and of the reference network's at the same positions."""
    groups, positions, depth = inputs.shape
    gram = torch.zeros(groups, depth, depth, dtype=torch.float64, device=inputs.device)
    cross, total = torch.zeros_like(gram), torch.zeros_like(gram[..., 0])
    reference_total = torch.zeros_like(total)
    for start in range(0, positions, _POSITIONS):
        x = inputs[:, start : start + _POSITIONS].double()
        z = x if reference is None else reference[:, start : start + _POSITIONS].double()
        gram += x.transpose(1, 2) @ x
        total += x.sum(dim=1)
        if reference is not None:
            cross += x.transpose(1, 2) @ z
            reference_total += z.sum(dim=1)
    count = torch.full((groups,), float(positions), dtype=torch.float64, device=inputs.device)
    if reference is None:
        return Moments(count, gram, gram, total, total)
    return Moments(count, gram, cross, total, reference_total)


def stacked(parts: Sequence[Moments]) -> Moments:
    """Returns the moments of several groups as those of one layer."""
    return Moments(
        torch.cat([part.count for part in parts]),
        torch.cat([part.gram for part in parts]),
        torch.cat([part.cross for part in parts]),
        torch.cat([part.total for part in parts]),
        torch.cat([part.reference_total for part in parts]),
    )
