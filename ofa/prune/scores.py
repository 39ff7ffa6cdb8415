"""Scores of a criterion, checked."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.prune.context import Criterion, PruneContext


def checked_scores(criterion: Criterion, context: PruneContext) -> Mapping[str, Tensor]:
    """Returns what the criterion gives: finite, one score a weight or one a row.

    Raises:
        InvalidInput: a weight without scores, another shape, or a number that is not finite.
    """
    scores = criterion(context)
    name_of = getattr(criterion, "__name__", type(criterion).__name__)
    for name, weight in context.weights.items():
        if name not in scores:
            raise InvalidInput(f"the criterion {name_of} gave no scores for {name}; a layer may be left out with keep=")
        found = scores[name]
        if tuple(found.shape) not in (tuple(weight.shape), (weight.shape[0],)):
            raise InvalidInput(
                f"the criterion {name_of} gave {name} scores of shape {tuple(found.shape)}; "
                f"it must give {tuple(weight.shape)}, or one a row ({weight.shape[0]},)"
            )
        # A finite sum has finite terms, and is many times quicker than to look at each.
        if not bool(torch.isfinite(found.sum())) and not bool(torch.isfinite(found).all()):
            raise InvalidInput(f"the criterion {name_of} gave {name} a score that is NaN or infinite")
    return scores
