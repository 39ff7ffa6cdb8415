"""Least squares: the kept weights of a layer that give its outputs back best."""

from __future__ import annotations

import torch
from torch import Tensor

from ofa.prune.reconstruction.moments import Moments

_ENTRIES = 1 << 22  # of the systems that are solved at once


def damped(gram: Tensor, damping: float) -> Tensor:
    """Returns gram (groups, d, d) + damping * mean of its diagonal * I, which is positive definite for damping > 0."""
    diagonal = gram.diagonal(dim1=1, dim2=2).mean(dim=1)
    size = torch.where(diagonal > 0, diagonal * damping, torch.ones_like(diagonal))
    return gram + size[:, None, None] * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)


def refitted(weights: Tensor, masks: Tensor, moments: Moments, damping: float = 0.01) -> Tensor:
    """Returns the weights on `masks` whose outputs are nearest to those of `weights` on the reference inputs.

    Each row w of them minimizes sum (w x - v z)^2 + c |w - v|^2 over weights that are zero off the mask, v being the
    row of `weights`, x and z the inputs and reference inputs of the moments, c `damping` times the mean of x^2.

    Args:
        weights: (groups, rows, d), float64.
        masks: what is kept, bool, alike.
        moments: of the inputs; centered where the layer's bias follows (see `Moments.centered`).
        damping: 0.01 as in SparseGPT; above 0.

    Source: He et al. 2017, 1707.06168, equation 4 (channels); Hassibi and Stork 1993 (single weights).
    """
    system = damped(moments.gram, damping)
    ridge = (system - moments.gram).diagonal(dim1=1, dim2=2)
    targets = weights @ moments.cross.transpose(1, 2) + weights * ridge[:, None, :]
    result = torch.zeros_like(weights)
    for group in range(len(weights)):
        patterns, which = torch.unique(masks[group], dim=0, return_inverse=True)
        if len(patterns) < len(which):
            for number, pattern in enumerate(patterns):
                rows = (which == number).nonzero().reshape(-1)
                columns = pattern.nonzero().reshape(-1)
                solved = _solved(system[group][columns][:, columns], targets[group][rows][:, columns].t())
                result[group, rows[:, None], columns] = solved.t()
        else:
            _fit_rows_(result[group], masks[group], system[group], targets[group])
    return result


def _solved(system: Tensor, right: Tensor) -> Tensor:
    return torch.cholesky_solve(right, torch.linalg.cholesky(system))


def _fit_rows_(result: Tensor, masks: Tensor, system: Tensor, targets: Tensor) -> None:
    """Solves each row's own system, several at once, those of like size together."""
    counts = masks.sum(dim=1)
    order = counts.argsort(descending=True)
    start = 0
    while start < len(order):
        size = int(counts[order[start]])
        if size == 0:
            return
        rows = order[start : start + max(1, _ENTRIES // size**2)]
        start += len(rows)
        mask = masks[rows]
        index = mask.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :size]
        real = mask.gather(1, index)
        both = real[:, :, None] & real[:, None, :]
        systems = torch.where(both, system[index[:, :, None], index[:, None, :]], 0.0)
        systems = systems + torch.diag_embed((~real).to(system.dtype))  # padding solves to 0
        right = targets[rows].gather(1, index) * real
        result[rows[:, None], index] = _solved(systems, right[:, :, None])[:, :, 0] * real
