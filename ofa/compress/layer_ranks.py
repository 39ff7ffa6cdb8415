"""Ranks of one layer: what a share of energy needs, what a rank costs, and when it saves anything."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor, nn

from ofa.compress.split import CONVS, Conv, split_conv, split_linear, split_tucker
from ofa.compress.tucker import unfold_mode

# One rank of an SVD, or (outputs, inputs) of Tucker-2.
Rank = tuple[int, ...]

# A share of energy counts as reached when less than this is missing: rounding of float64.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Candidate:
    """A layer that can be split, and at how many positions it works.

    Attributes:
        path: of the module.
        layer: the module.
        tucker: whether by Tucker-2; else by SVD.
        positions_in: pixels (or tokens) of its input for one example, over all of its calls; 1 to count parameters.
        positions_out: of its output.
    """

    path: str
    layer: nn.Linear | Conv
    tucker: bool
    positions_in: int = 1
    positions_out: int = 1

    @cached_property
    def spectra(self) -> tuple[Tensor, ...]:
        """Cumulative share of energy by rank, float64 ascending to 1: of the SVD, or of both unfoldings.

        Of a grouped convolution, the least share over its groups, since all get the same rank.
        """
        weight = self.layer.weight.detach().double().cpu()
        if self.tucker:
            return cumulative_energy(unfold_mode(weight, 0)), cumulative_energy(unfold_mode(weight, 1))
        matrices = weight.reshape(_groups(self.layer), weight.shape[0] // _groups(self.layer), -1)
        return (torch.stack([cumulative_energy(matrix) for matrix in matrices]).min(dim=0).values,)

    @property
    def full_rank(self) -> Rank:
        """The largest ranks: of the SVD, or of both unfoldings."""
        outputs, inputs, *kernel = self.layer.weight.shape
        if self.tucker:
            return min(outputs, inputs * prod(kernel)), min(inputs, outputs * prod(kernel))
        return (min(outputs // _groups(self.layer), inputs * prod(kernel)),)

    def rank_of_energy(self, energy: float) -> Rank:
        """Returns the least ranks that keep at least this share of the energy (of each unfolding), each 1 or more."""
        return tuple(min(len(shares), 1 + int((shares < energy - _ROUNDING).sum())) for shares in self.spectra)

    @cached_property
    def levels(self) -> tuple[float, ...]:
        """The energies at which the ranks change, ascending."""
        return tuple(sorted({float(share) for shares in self.spectra for share in shares}))

    @property
    def dense_cost(self) -> int:
        """MACs of the layer as it is, or its parameters, without the bias."""
        return self.positions_out * self.layer.weight.numel()

    def split_cost(self, rank: Rank) -> int:
        """Returns MACs (or parameters) of the layer when split, without the bias."""
        outputs, inputs, *kernel = self.layer.weight.shape
        if self.tucker:
            rank_out, rank_in = rank
            core = rank_in * rank_out * prod(kernel) + rank_out * outputs
            return self.positions_in * inputs * rank_in + self.positions_out * core
        groups = _groups(self.layer)
        return self.positions_out * rank[0] * (groups * inputs * prod(kernel) + outputs)

    def cost_of_energy(self, energy: float) -> int:
        """Returns the cost at the ranks of an energy, or the dense cost where that is no more."""
        return min(self.dense_cost, self.split_cost(self.rank_of_energy(energy)))

    def saves(self, rank: Rank) -> bool:
        """Whether the split layer costs less than the layer as it is."""
        return self.split_cost(rank) < self.dense_cost

    def split(self, rank: Rank) -> nn.Sequential:
        """Returns the layer in parts; the layer itself does not change."""
        if isinstance(self.layer, nn.Linear):
            return split_linear(self.layer, rank[0])
        return split_tucker(self.layer, *rank) if self.tucker else split_conv(self.layer, rank[0])


def cumulative_energy(matrix: Tensor) -> Tensor:
    """Returns for r = 1, 2, ... which share of the squared Frobenius norm the r largest singular values hold.

    The last is exactly 1; a matrix of zeros has all its energy in rank 1.
    """
    energy: Tensor = torch.linalg.svdvals(matrix.double()).square()
    total = energy.sum()
    if not float(total):
        return torch.ones_like(energy)
    shares: Tensor = (energy.cumsum(0) / total).clamp(max=1)
    shares[-1] = 1
    return shares


def _groups(layer: nn.Module) -> int:
    return layer.groups if isinstance(layer, CONVS) else 1
