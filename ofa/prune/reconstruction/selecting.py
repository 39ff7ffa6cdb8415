"""Which weights of a layer go, and what the others become: optimal brain surgeon in columns, and Wanda."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ofa.prune.reconstruction.least_squares import damped, refitted
from ofa.prune.reconstruction.moments import Moments
from ofa.prune.selection import keep_best


@dataclass(frozen=True)
class Problem:
    """A layer to prune.

    Attributes:
        weights: (groups, rows, d), float64: each group has its own inputs.
        moments: of the inputs.
        keep: how many weights stay; where `pattern` is given it says so instead.
        pattern: n of every m consecutive weights of a row stay, or None.
    """

    weights: Tensor
    moments: Moments
    keep: int
    pattern: tuple[int, int] | None = None


# Returns the new weights (groups, rows, d), zero where they are removed, and what is kept, bool.
Method = Callable[[Problem], tuple[Tensor, Tensor]]


def obs(problem: Problem, *, damping: float = 0.01, refit: bool = True) -> tuple[Tensor, Tensor]:
    """Returns the weights after optimal brain surgery, and what is kept, bool.

    A weight w costs w^2 / [H^-1]_ww, H being the Gram matrix of its input and those after it. Columns go from the first
    to the last; each is decided on when all before it are, and the columns after it take its removal up. With `refit`
    the weights that stay are at last solved for exactly, those before included, towards the outputs of the reference
    network.

    Exactly `keep` weights stay, the cheapest of the layer as a whole going, or n of every m of `pattern`.

    Args:
        problem: see `Problem`.
        damping: of the Gram matrix, a fraction of the mean of its diagonal.
        refit: solves rows * kept^3 operations; without it large layers are much faster and a little worse.

    Source: Frantar and Alistarh 2023, 2301.00774, algorithm 1; there each block of columns has the same sparsity, and
    the weights before a removed one stay as they are. Hassibi and Stork 1993.
    """
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped(problem.moments.gram, damping)))
    factor = torch.linalg.cholesky(inverse, upper=True)  # [i:, i:] is that of the inverse for columns from i on
    weights, masks = problem.weights.clone(), torch.ones_like(problem.weights, dtype=torch.bool)
    columns = weights.shape[-1]
    width = max(1, min(16, columns // 8), columns // 64)  # narrow: what goes depends on what went
    if problem.pattern is not None:
        width = max(1, width // problem.pattern[1]) * problem.pattern[1]
    left = problem.keep
    for start in range(0, columns, width):
        end = min(start + width, columns)
        if problem.pattern is None:
            masks[..., start:end] = _best_from(weights, factor, start, left)[..., : end - start]
            left -= int(masks[..., start:end].sum())
        _eliminate_(weights, masks, factor, (start, end), problem.pattern)
    if refit:
        weights = refitted(problem.weights, masks, problem.moments, damping)
    return weights.masked_fill(~masks, 0.0), masks


def _best_from(weights: Tensor, factor: Tensor, start: int, keep: int) -> Tensor:
    """What stays of the columns from `start` on when the cheapest go; those after each make up for it."""
    inverse = factor.diagonal(dim1=1, dim2=2)[:, start:].square()
    return keep_best(weights[..., start:].square() / inverse[:, None, :], keep)


def _eliminate_(
    weights: Tensor, masks: Tensor, factor: Tensor, block: tuple[int, int], pattern: tuple[int, int] | None
) -> None:
    """Removes what a block of columns loses; the columns after each take it up, those after the block at its end."""
    start, end = block
    errors = torch.zeros_like(weights[..., start:end])
    for column in range(start, end):
        if pattern is not None and (column - start) % pattern[1] == 0:
            group = slice(column, column + pattern[1])
            cost = weights[..., group].square() / factor.diagonal(dim1=1, dim2=2)[:, None, group].square()
            masks[..., group] = _best_n(cost, pattern[0])
        removed = weights[..., column].masked_fill(masks[..., column], 0.0)
        error = removed / factor[:, None, column, column]
        weights[..., column:end] -= error[..., None] * factor[:, None, column, column:end]
        errors[..., column - start] = error
    weights[..., end:] -= errors @ factor[:, start:end, end:]


def _best_n(scores: Tensor, count: int) -> Tensor:
    """The `count` best along the last dimension, ties by position, bool."""
    order = scores.argsort(dim=-1, descending=True, stable=True)
    return torch.zeros_like(scores, dtype=torch.bool).scatter(-1, order[..., :count], True)


def wanda(problem: Problem) -> tuple[Tensor, Tensor]:
    """Returns the weights, zero where |w| * |x| is small beside the others of their row, and what is kept, bool.

    |x| is the L2 norm of the input over all positions. Each row keeps as many as the others, the first
    one more where `keep` does not divide. No weight changes.

    Source: Sun et al. 2023, 2306.11695, equation 1.
    """
    weights = problem.weights
    scores = weights.abs() * problem.moments.gram.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()[:, None, :]
    if problem.pattern is not None:
        n, m = problem.pattern
        masks = _best_n(scores.reshape(*scores.shape[:-1], -1, m), n).flatten(-2)
    else:
        rows = weights.shape[0] * weights.shape[1]
        counts = torch.full((rows,), problem.keep // rows, device=weights.device)
        counts[: problem.keep % rows] += 1
        flat = scores.reshape(rows, -1)
        places = flat.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        masks = (places < counts[:, None]).reshape(weights.shape)
    return weights.masked_fill(~masks, 0.0), masks
