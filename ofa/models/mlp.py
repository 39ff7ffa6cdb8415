"""A residual perceptron for tables and other short rows of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput
from ofa.models.sizes import check_between, check_positive, initialize_


class MLPBlock(nn.Module):
    """Norm and two layers, added to what they are given: (N, width) to (N, width)."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.expand = nn.Linear(width, hidden)
        self.reduce = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Returns (N, width)."""
        change: Tensor = self.reduce(self.dropout(functional.relu(self.expand(self.norm(features)))))
        return features + change


class MLP(nn.Module):
    """A perceptron of residual blocks: rows (N, ...) of any shape, as one, to (N, num_classes).

    Source: Gorishniy et al. 2021, "Revisiting deep learning models for tabular data", 2106.11959, section 3.2.

    Args:
        input_shape: of an example.
        num_classes: how many numbers it answers with: classes, labels, or quantities of a regression.
        width: of what blocks add to.
        hidden: of each block; twice the width where None.
        depth: blocks.
        dropout: fraction of hidden units that are left out in training.

    Raises:
        InvalidInput: a size that is not a whole number above 0, or a dropout that is no fraction.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (10,),
        num_classes: int = 1,
        width: int = 64,
        hidden: int | None = None,
        depth: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        inner = 2 * width if hidden is None else hidden
        if not input_shape:
            raise InvalidInput("MLP input_shape=(): give the shape of an example, such as (10,)")
        check_positive("MLP", input_shape=tuple(input_shape), num_classes=num_classes)
        check_positive("MLP", width=width, hidden=inner, depth=depth)
        check_between("MLP", 0, 1, dropout=dropout)
        self.stem = nn.Linear(math.prod(input_shape), width)
        self.blocks = nn.ModuleList(MLPBlock(width, inner, dropout) for _ in range(depth))
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, num_classes)
        initialize_(self)

    def forward(self, rows: Tensor) -> Tensor:
        """Returns (N, num_classes)."""
        features = self.stem(rows.flatten(1))
        for block in self.blocks:
            features = block(features)
        outputs: Tensor = self.head(functional.relu(self.norm(features)))
        return outputs
