"""Ranks of one layer: which one a share of energy needs, what it costs, and whether it saves anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ofa.compress.split import CONVS, Conv, split_conv, split_linear, split_tucker
from ofa.compress.tucker import unfold_mode
from ofa.inputs import Example, as_inputs
from ofa.modes import in_mode

# One rank of an SVD, or (outputs, inputs) of Tucker-2.
Rank = tuple[int, ...]

# A share of energy counts as reached when less than this is missing: rounding of float64.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Candidate:
    """A layer that can be split, and the number of positions it is applied at.

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

    @property
    def least_cost(self) -> int:
        """MACs or parameters at the smallest ranks, or of the layer as it is where that is no more."""
        return min(self.dense_cost, self.split_cost((1,) * len(self.spectra)))

    def split_cost(self, rank: Rank) -> int:
        """Returns MACs (or parameters) of the layer when split, without the bias."""
        outputs, inputs, *kernel = self.layer.weight.shape
        if self.tucker:
            rank_out, rank_in = rank
            core = rank_in * rank_out * prod(kernel) + rank_out * outputs
            return self.positions_in * inputs * rank_in + self.positions_out * core
        groups = _groups(self.layer)
        return self.positions_out * rank[0] * (groups * inputs * prod(kernel) + outputs)

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


def with_positions(
    model: nn.Module, candidates: Sequence[Candidate], example_input: Example
) -> tuple[list[Candidate], float]:
    """Returns the candidates that ran, with their positions, and the MACs of the whole model; all for one example."""
    inputs = as_inputs(example_input)
    examples = inputs.batch
    seen: dict[int, list[int]] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts = seen.setdefault(id(layer), [0, 0])
        channel = -1 if isinstance(layer, nn.Linear) else 1
        for number, value in enumerate((inputs[0], output)):
            counts[number] += value.numel() // value.shape[channel] // examples

    handles = [candidate.layer.register_forward_hook(note) for candidate in candidates]
    try:
        with torch.no_grad(), in_mode(model, training=False), FlopCounterMode(display=False) as counter:
            inputs.call(model)
    finally:
        for handle in handles:
            handle.remove()
    ran = [candidate for candidate in candidates if id(candidate.layer) in seen]
    complete = [
        replace(candidate, positions_in=seen[id(candidate.layer)][0], positions_out=seen[id(candidate.layer)][1])
        for candidate in ran
    ]
    return complete, counter.get_total_flops() / 2 / examples
