"""What an event of pruning removes: scores by the criterion, counts by the allocation, the best pieces stay."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ofa.errors import InvalidInput, is_whole
from ofa.processes import Processes, processes
from ofa.prune.context import Allocation, AllocationContext, Criterion, PruneContext
from ofa.prune.granularity import Granularity
from ofa.prune.granularity.pool import PieceScores
from ofa.prune.selection import keep_best
from ofa.prune.weights import full_masks


def checked_scores(criterion: Criterion, context: PruneContext) -> Mapping[str, Tensor]:
    """Returns what the criterion gives: finite, one score per weight or one per row, or one per piece.

    Where processes that train together measure different scores, as on batches of their own, it is the mean over them,
    so that all remove the same.

    Raises:
        InvalidInput: a weight without scores, another shape, or a number that is not finite.
    """
    group, scores = processes(), []
    group.each(lambda: scores.append(_own_scores(criterion, context)))
    return agreed(scores[0], group)


def agreed(scores: Mapping[str, Tensor], group: Processes) -> Mapping[str, Tensor]:
    """Returns scores that are the same bits in all processes: as they are where they are, their means otherwise."""
    if group.alone:
        return scores
    same = {
        name: group.agreed(score if score.is_floating_point() else score.double()) for name, score in scores.items()
    }
    return PieceScores(same) if isinstance(scores, PieceScores) else same


def _own_scores(criterion: Criterion, context: PruneContext) -> Mapping[str, Tensor]:
    scores = criterion(context)
    name_of = getattr(criterion, "__name__", type(criterion).__name__)
    if isinstance(scores, PieceScores):
        for name, score in scores.items():
            if not bool(torch.isfinite(score).all()):
                raise InvalidInput(f"the criterion {name_of} gave {name} a score that is NaN or infinite")
        return scores
    for name, weight in context.weights.items():
        if name not in scores:
            raise InvalidInput(f"the criterion {name_of} gave no scores for {name}; a layer may be left out with keep=")
        score = scores[name]
        if tuple(score.shape) not in (tuple(weight.shape), (weight.shape[0],)):
            raise InvalidInput(
                f"the criterion {name_of} gave {name} scores of shape {tuple(score.shape)}; "
                f"it must give {tuple(weight.shape)}, or one per row ({weight.shape[0]},)"
            )
        # A finite sum has finite terms, and is much faster to check than every term.
        if not bool(torch.isfinite(score.sum())) and not bool(torch.isfinite(score).all()):
            raise InvalidInput(f"the criterion {name_of} gave {name} a score that is NaN or infinite")
    return scores


def in_rounds(sparsity: float, rounds: int) -> list[float]:
    """Returns the sparsity after each of some rounds that keep the same share each, the last one `sparsity`.

    Raises:
        InvalidInput: no round, or a sparsity that is not in [0, 1].
    """
    if not is_whole(rounds, 1):
        raise InvalidInput(f"rounds={rounds!r}: give a whole number, 1 or more")
    if not 0 <= sparsity <= 1:
        raise InvalidInput(f"sparsity={sparsity!r} is the fraction removed: from 0 to 1")
    return [*(1 - (1 - sparsity) ** (done / rounds) for done in range(1, rounds)), sparsity]


def initial_masks(weights: Mapping[str, Tensor], granularity: Granularity) -> dict[str, Tensor]:
    """Returns full masks of the weights, and of every other parameter that the granularity reaches."""
    everything = [torch.ones(pool.pieces, dtype=torch.bool) for pool in granularity.pools]
    return full_masks(weights) | granularity.spread(everything)


def masks_after(
    sparsity: float,
    progress: float,
    context: PruneContext,
    masks: Mapping[str, Tensor],
    granularity: Granularity,
    criterion: Criterion,
    allocation: Allocation,
) -> Mapping[str, Tensor]:
    """Returns the masks (bool, True is kept) with which `sparsity`, a fraction of all pieces, is gone.

    Args:
        sparsity: 0 to 1.
        progress: how far the schedule is then, 0 to 1.
        context: for the criterion.
        masks: of now; what they remove stays removed.
        granularity, criterion, allocation: what a piece is, what it is worth, how many each layer keeps.

    Raises:
        InvalidInput: scores that do not fit.
    """
    scores = granularity.gather(checked_scores(criterion, context), masks)
    counts = allocation(AllocationContext(granularity.pools, scores, sparsity, progress, granularity.cost))
    return granularity.spread([keep_best(score, count) for score, count in zip(scores, counts, strict=True)])
