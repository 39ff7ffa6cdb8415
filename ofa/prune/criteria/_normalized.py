"""Normalized: any criterion, its layers made comparable for a global ranking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ofa.errors import InvalidInput, nearest
from ofa.prune.context import Criterion, PruneContext
from ofa.prune.granularity.pool import PieceScores

RULES = ("mean", "max", "l2")


@dataclass(frozen=True)
class Normalized:
    """A criterion divided layer by layer by its mean, largest or L2 norm of |score| over what is alive.

    The order within a layer is unchanged, and so is a layer of zeros.

    Raises:
        InvalidInput: an unknown rule.
    Source: "l2" is Molchanov et al. 2017, 1611.06440, equation 8 (layer-wise normalization).
    """

    criterion: Criterion
    by: str = "mean"

    def __post_init__(self) -> None:
        if self.by not in RULES:
            raise InvalidInput(f"normalized by={self.by!r} is unknown; {nearest(str(self.by), RULES)}")

    def observe(self, context: PruneContext) -> None:
        """Passes a step on to the criterion, if it observes steps."""
        observe = getattr(self.criterion, "observe", None)
        if observe is not None:
            observe(context)

    def __call__(self, context: PruneContext) -> Mapping[str, Tensor]:
        """Returns the criterion's scores, each layer's, or pool's of `PieceScores`, divided by its size, float64."""
        scores = self.criterion(context)
        if isinstance(scores, PieceScores) and context.pieces is not None:
            alive = context.pieces.alive(context.masks)
            pools = zip(scores.items(), alive, strict=True)
            return PieceScores({name: _divided(score.double(), left, self.by) for (name, score), left in pools})
        return {name: _divided(score.double(), context.masks[name], self.by) for name, score in scores.items()}


def normalized(criterion: Criterion, by: str = "mean") -> Criterion:
    """Returns `criterion` with layers made comparable; `by` is "mean", "max" or "l2", see `Normalized`.

    Raises:
        InvalidInput: an unknown rule.
    """
    return Normalized(criterion, by)


def _divided(score: Tensor, mask: Tensor, by: str) -> Tensor:
    alive = mask if score.shape == mask.shape else mask.reshape(len(mask), -1).any(dim=1)
    sizes = score[alive].abs()
    if not bool(sizes.any()):
        return score
    size = sizes.mean() if by == "mean" else sizes.max() if by == "max" else sizes.norm()
    return score / size
