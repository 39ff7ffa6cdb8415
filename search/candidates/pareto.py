"""Pareto arithmetic on plain arrays: fronts, ranks, crowding, hypervolume. Lower is better everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ofa.errors import InvalidInput

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


def non_dominated(points: Floats) -> Bools:
    """Returns a bool (N,): True where no other of the points (N, D) is as low in all objectives and lower in one.

    Equal points do not dominate each other, so copies of a front point are all in the front.
    """
    return np.asarray(~_dominance(_points(points)).any(axis=0), dtype=np.bool_)


def non_domination_ranks(points: Floats) -> Integers:
    """Returns int64 (N,): 0 for the front of points (N, D), 1 for the front without those, and so on.

    Source: the fast non-dominated sorting of NSGA-II (Deb et al. 2002), here by peeling.
    """
    dominates = _dominance(_points(points))
    ranks = np.zeros(len(dominates), dtype=np.int64)
    above = dominates.sum(axis=0)  # how many of the remaining points dominate each
    remaining = np.ones(len(dominates), dtype=np.bool_)
    rank = 0
    while remaining.any():
        front = remaining & (above == 0)
        ranks[front] = rank
        remaining &= ~front
        above -= dominates[front].sum(axis=0)
        rank += 1
    return ranks


def crowding_distances(points: Floats) -> Floats:
    """Returns float64 (N,): how far apart the neighbors of each of the points (N, D) are, infinite at the ends.

    Source: NSGA-II (Deb et al. 2002): the sum over objectives of the gap between the two neighbors, each as a fraction
    of that objective's range.
    """
    points = _points(points)
    count, objectives = points.shape
    distances = np.zeros(count)
    for objective in range(objectives):
        order = np.argsort(points[:, objective], kind="stable")
        values = points[order, objective]
        span = values[-1] - values[0] if count else 0.0
        distances[order[:1]] = distances[order[-1:]] = np.inf
        if span > 0:
            distances[order[1:-1]] += (values[2:] - values[:-2]) / span
    return distances


def best_first(points: Floats) -> list[int]:
    """Returns the indices of points (N, objectives), lower is better: by rank, then the least crowded."""
    ranks = non_domination_ranks(points)
    crowding = np.empty(len(points))
    for rank in np.unique(ranks):
        members = np.flatnonzero(ranks == rank)
        crowding[members] = crowding_distances(points[members])
    return [int(index) for index in np.lexsort((-crowding, ranks))]


def hypervolume(points: Floats, reference: Sequence[float]) -> float:
    """Returns the volume between the points (N, D) and `reference` (D,), the corner that is worst in all objectives.

    Points that are not better than the reference in all of them cover nothing. Exact. Source: hypervolume by slicing
    objectives (While, Hingston, Barone, Huband 2006, IEEE TEC 10(1)).
    """
    points = _points(points)
    if points.shape[1] != len(reference):
        raise InvalidInput(f"points have {points.shape[1]} objectives; the reference has {len(reference)}")
    corner = np.asarray(reference, dtype=np.float64)
    inside = points[(points < corner).all(axis=1)]
    return _sliced(inside[non_dominated(inside)], corner)


def _sliced(points: Floats, corner: Floats) -> float:
    """The volume, summed over slabs along the last objective."""
    if not len(points) or not len(corner):
        return 0.0
    if len(corner) == 1:
        return float(corner[0] - points.min())
    ordered = points[np.argsort(points[:, -1], kind="stable")]
    ends = np.append(ordered[1:, -1], corner[-1])
    return sum(
        float(end - begin) * _sliced(ordered[: number + 1, :-1], corner[:-1])
        for number, (begin, end) in enumerate(zip(ordered[:, -1], ends, strict=True))
        if end > begin
    )


def _dominance(points: Floats) -> Bools:
    """A bool matrix: whether the point of the row dominates the point of the column."""
    as_low = np.ones((len(points), len(points)), dtype=np.bool_)
    lower = np.zeros_like(as_low)
    for column in points.T:  # one objective at a time: reducing over a short third axis is slow
        as_low &= column[:, None] <= column[None, :]
        lower |= column[:, None] < column[None, :]
    return as_low & lower


def _points(points: Floats) -> Floats:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2:
        raise InvalidInput(f"points have shape {array.shape}; they must be (points, objectives)")
    return array
