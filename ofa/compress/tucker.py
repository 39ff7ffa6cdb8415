"""Tucker-2: a convolution's weight as a small core between two matrices of channels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ofa.errors import InvalidInput


@dataclass(frozen=True)
class Tucker:
    """core (r_out, r_in, kernel...), outputs (O, r_out), inputs (C, r_in); both matrices have orthonormal columns."""

    core: Tensor
    outputs: Tensor
    inputs: Tensor

    def weight(self) -> Tensor:
        """Returns the weight that the three stand for, (O, C, kernel...)."""
        product: Tensor = torch.einsum("or,rs...,cs->oc...", self.outputs, self.core, self.inputs)
        return product


def unfold_mode(weight: Tensor, dim: int) -> Tensor:
    """Returns the weight as a matrix (size of `dim`, all the rest)."""
    return weight.movedim(dim, 0).flatten(1)


def tucker2(weight: Tensor, rank_out: int, rank_in: int, iterations: int = 10) -> Tucker:
    """Returns the factors of a weight (O, C, kernel...), in its type; the kernel's dimensions are left alone.

    The start is the truncated higher-order SVD; each iteration of orthogonal iteration (HOOI) then takes the best
    matrix of one side for the present matrix of the other, so the error never grows. Exact where the ranks are
    those of the two unfoldings.

    Args:
        weight: (O, C, kernel...).
        rank_out: columns for the outputs, 1 to O.
        rank_in: columns for the inputs, 1 to C.
        iterations: of HOOI; 0 gives the higher-order SVD.

    Source: De Lathauwer et al. 2000 (HOSVD and HOOI); Kim et al. 2016, 1511.06530 (Tucker-2).

    Raises:
        InvalidInput: a rank out of range.
    """
    for name, rank, most in (("rank_out", rank_out, weight.shape[0]), ("rank_in", rank_in, weight.shape[1])):
        if not 1 <= rank <= most:
            raise InvalidInput(f"{name}={rank!r}: give 1 to {most} for a weight of shape {tuple(weight.shape)}")
    outputs, inputs = _leading(weight, 0, rank_out), _leading(weight, 1, rank_in)
    for _ in range(iterations):
        outputs = _leading(torch.einsum("oc...,cs->os...", weight, inputs), 0, rank_out)
        inputs = _leading(torch.einsum("oc...,or->rc...", weight, outputs), 1, rank_in)
    return Tucker(torch.einsum("oc...,or,cs->rs...", weight, outputs, inputs), outputs, inputs)


def _leading(weight: Tensor, dim: int, rank: int) -> Tensor:
    """The left singular vectors of the largest singular values of an unfolding, (size of `dim`, rank)."""
    vectors: Tensor = torch.linalg.svd(unfold_mode(weight, dim), full_matrices=False).U
    if vectors.shape[1] < rank:  # any columns at right angles will do: the weight has nothing along them
        vectors = torch.linalg.qr(vectors, mode="complete").Q
    return vectors[:, :rank]
