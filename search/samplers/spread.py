"""A batch spread over a front: one candidate after the other, each where it adds most to what is known and chosen."""

from __future__ import annotations

import numpy as np

from search.pareto import Floats, non_dominated

DRAWS = 4096  # of points in the box, where there are more than two objectives


def gains(points: Floats, known: Floats, reference: Floats, rng: np.random.Generator) -> Floats:
    """Returns how much hypervolume each of the points (N, D) adds to `known` (M, D), up to `reference` (D,).

    Lower is better everywhere. Exact for one and two objectives, an estimate from draws of `rng` for more.
    """
    if points.shape[1] == 1:
        best = min([float(reference[0]), *known[:, 0].tolist()])
        return np.asarray(np.maximum(best - points[:, 0], 0.0))
    if points.shape[1] == 2:
        return _exact_gains(points, known, reference)
    return _estimated_gains(points, known, reference, rng)


def _exact_gains(points: Floats, known: Floats, reference: Floats) -> Floats:
    """The area under each point that the staircase of the known ones leaves."""
    inside = known[(known < reference).all(axis=1)]
    front = inside[non_dominated(inside)] if len(inside) else inside
    front = front[np.argsort(front[:, 0], kind="stable")]
    starts = np.concatenate([[-np.inf], front[:, 0]])  # of steps along the first objective
    ends = np.concatenate([front[:, 0], [reference[0]]])
    heights = np.concatenate([[reference[1]], front[:, 1]])
    widths = np.maximum(ends[None, :] - np.maximum(starts[None, :], points[:, :1]), 0.0)
    return np.asarray((widths * np.maximum(heights[None, :] - points[:, 1:], 0.0)).sum(axis=1))


def _estimated_gains(points: Floats, known: Floats, reference: Floats, rng: np.random.Generator) -> Floats:
    """The share of draws in the box that a point dominates and nothing known does."""
    lowest = np.minimum(points.min(axis=0), reference)
    drawn = lowest + rng.random((DRAWS, points.shape[1])) * (reference - lowest)
    for one in known:
        drawn = drawn[~(one <= drawn).all(axis=1)]
    return np.asarray((points[:, None, :] <= drawn[None, :, :]).all(axis=2).sum(axis=1) / DRAWS)
