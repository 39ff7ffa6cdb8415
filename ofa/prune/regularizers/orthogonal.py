"""A loss that keeps the rows of each weight orthonormal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.prune.regularizers.choosing import check_strengths, chosen, total


@dataclass(frozen=True)
class Orthogonal:
    """strength * sum |W W^T - I|^2 (Frobenius), W being the weight as a matrix, one row per neuron or filter.

    A matrix with more rows than columns cannot have orthonormal rows: its columns count instead, |W^T W - I|^2, which
    differs by a constant, rows - columns, and so has the same gradient.
    Source: Brock et al. 2017, 1609.07093, with the square; Bansal et al. 2018, 1810.09102, section 3.1.

    Attributes:
        strength: of every layer.
        select: patterns of the weights' names; () means every parameter of two dimensions or more.
    """

    strength: float
    select: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_strengths(type(self).__name__, {"strength": self.strength})

    def penalty(self, weights: Mapping[str, Tensor], progress: float) -> Tensor:
        """Returns the scalar penalty.

        Raises:
            InvalidInput: `select` names a parameter of one dimension.
        """
        matrices = chosen(weights, self.select)
        for name, weight in matrices.items():
            if weight.dim() < 2:
                raise InvalidInput(
                    f"Orthogonal: {name!r} is not a matrix, its shape is {tuple(weight.shape)}; narrow select"
                )
        return self.strength * total(_distance(weight.flatten(1)) for weight in matrices.values())


def _distance(matrix: Tensor) -> Tensor:
    rows, columns = matrix.shape
    narrow = matrix if rows <= columns else matrix.T
    gram = narrow @ narrow.T
    return (gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)).square().sum()
