"""Codebooks: few values that stand for many, by k-means in one dimension."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ofa.compress.exact_clusters import exact_edges
from ofa.errors import InvalidInput, is_whole, nearest

Doubles: TypeAlias = NDArray[np.float64]
STARTS = ("linear", "density", "random", "exact")
MOST_LEVELS = 2**16
_MOST_ROUNDS = 300
_MOST_SPLITS = 20
_LEAST_IMPORTANCE = 1e-12  # of the largest
_MOST_EXACT = 2**15  # values that the exact search takes; its time grows with their number times that of the levels


def codebook(
    values: Tensor,
    levels: int,
    start: str = "linear",
    generator: torch.Generator | None = None,
    importance: Tensor | None = None,
) -> Tensor:
    """Returns the `levels` values (K,), ascending, that stand for all values but zeros: k-means in one dimension.

    There are fewer where there are fewer distinct values. Values are sorted once, and a round of k-means is then a
    difference of cumulative sums at K edges. A center that ends up with no value goes where the error is largest.

    Source: Han et al. 2016, 1510.00149, section 3, which finds the linear start best for accuracy, since it spends
    entries on the few large weights; the importance is the diagonal Hessian of Choi et al. 2017, 1612.01543.

    Args:
        values: any shape; zeros are removed weights and take no part.
        levels: 1 or more, not only powers of two.
        start: "linear" (evenly between the least and the largest), "density" (quantiles), "random" (values drawn
            without replacement), or "exact": the least squared error there is, by dynamic programming. Above 32,768
            distinct values it is the least for that many groups of neighbors, and then k-means from there.
        generator: draws the random start.
        importance: how much the squared error of each value counts, in its shape, 0 or more; None: all the same.

    Raises:
        InvalidInput: values that are not finite or all 0, levels out of range, an unknown start, a random start
            without a generator, or an importance that does not fit.
    """
    _check(levels, start, generator)
    points = _points(values, importance)
    if len(points.values) <= levels:
        centers = points.values
    elif start == "exact":
        centers = _exact(points, levels)
    else:
        centers = _filled(points, _lloyd(points, _started(points, levels, start, generator)), levels)
    distinct: Tensor = torch.unique(torch.from_numpy(centers).to(values.dtype), sorted=True)
    return distinct.to(values.device)


def nearest_entries(values: Tensor, entries: Tensor) -> Tensor:
    """Returns the place in an ascending codebook of the entry nearest to each value, int32, in the values' shape."""
    middles = (entries[1:].double() + entries[:-1].double()) / 2
    return torch.bucketize(values.detach().double().contiguous(), middles, out_int32=True)


@dataclass(frozen=True, eq=False)
class _Points:
    """Distinct values, ascending, and how much each counts; both (N,)."""

    values: Doubles
    mass: Doubles

    @cached_property
    def sums(self) -> tuple[Doubles, Doubles, Doubles]:
        """Cumulative mass, first and second moment, (N + 1,)."""
        moments = (self.mass * self.values**power for power in (0, 1, 2))
        mass, first, second = (np.concatenate([[0.0], np.cumsum(moment)]) for moment in moments)
        return mass, first, second

    def edges(self, centers: Doubles) -> NDArray[np.intp]:
        """Where the values nearest to each of the ascending centers begin and end, (K + 1,)."""
        inner = np.searchsorted(self.values, (centers[1:] + centers[:-1]) / 2, side="right")
        return np.concatenate([[0], inner, [len(self.values)]])

    def means(self, edges: NDArray[np.intp], otherwise: Doubles) -> tuple[Doubles, NDArray[np.bool_]]:
        """The means between consecutive edges, those of empty ranges as given; and which ranges are filled."""
        mass, first = (np.diff(sums[edges]) for sums in self.sums[:2])
        filled = np.diff(edges) > 0
        return np.where(filled, first / np.where(filled, mass, 1.0), otherwise), filled


def _points(values: Tensor, importance: Tensor | None) -> _Points:
    flat = values.detach().double().cpu().numpy().ravel()
    if not np.isfinite(flat).all():
        raise InvalidInput("a codebook of values that are NaN or infinite: check the training")
    mass = np.ones_like(flat)
    if importance is not None:
        mass = importance.detach().double().cpu().numpy().ravel()
        if mass.shape != flat.shape or not (np.isfinite(mass).all() and (mass >= 0).all() and mass.any()):
            raise InvalidInput(
                f"importance of shape {tuple(importance.shape)} for values of shape {tuple(values.shape)}: give a "
                "finite number for each value, 0 or more and not all 0"
            )
        mass = np.maximum(mass, _LEAST_IMPORTANCE * mass.max())  # so that every range has a mean
    nonzero = flat != 0
    if not nonzero.any():
        raise InvalidInput("a codebook of no values: all are 0, which stands for removed weights")
    distinct, places = np.unique(flat[nonzero], return_inverse=True)
    return _Points(distinct, np.bincount(places.ravel(), weights=mass[nonzero]).astype(np.float64))


def _started(points: _Points, levels: int, start: str, generator: torch.Generator | None) -> Doubles:
    if start == "linear":
        return np.linspace(points.values[0], points.values[-1], levels)
    if start == "random":
        drawn = torch.randperm(len(points.values), generator=generator)[:levels].numpy()
        return np.sort(points.values[drawn])
    shares = points.sums[0][-1] * (np.arange(levels) + 0.5) / levels
    places = np.searchsorted(points.sums[0][1:], shares).clip(0, len(points.values) - 1)
    return np.asarray(points.values[places])


def _lloyd(points: _Points, centers: Doubles) -> Doubles:
    """The centers after rounds of k-means, without those that no value is nearest to."""
    filled = np.ones(len(centers), dtype=bool)
    for _ in range(_MOST_ROUNDS):
        moved, filled = points.means(points.edges(centers), centers)
        if np.array_equal(moved, centers):
            break
        centers = moved
    return centers[filled]


def _filled(points: _Points, centers: Doubles, levels: int) -> Doubles:
    """As many centers as levels, or nearly: missing ones halve the ranges of the largest errors."""
    for _ in range(_MOST_SPLITS):
        missing = levels - len(centers)
        if not missing:
            break
        edges = points.edges(centers)
        errors = np.diff(points.sums[2][edges]) - np.diff(points.sums[0][edges]) * centers**2
        worst = np.argsort(-errors, kind="stable")[:missing]
        spread = np.sqrt(np.maximum(errors[worst], 0.0) / np.diff(points.sums[0][edges])[worst])
        rest = np.delete(centers, worst)
        split = np.sort(np.concatenate([rest, centers[worst] - spread, centers[worst] + spread]))
        centers = _lloyd(points, split)
    return centers


def _exact(points: _Points, levels: int) -> Doubles:
    count = len(points.values)
    if count <= _MOST_EXACT:
        edges = exact_edges(points.values, points.mass, levels)
        return points.means(edges, np.zeros(levels))[0]
    cuts = np.linspace(0, count, _MOST_EXACT + 1).astype(np.intp)
    merged = points.means(cuts, np.zeros(_MOST_EXACT))[0]
    edges = cuts[exact_edges(merged, np.diff(points.sums[0][cuts]), levels)]
    return _lloyd(points, points.means(edges, np.zeros(levels))[0])


def _check(levels: int, start: str, generator: torch.Generator | None) -> None:
    if not is_whole(levels, 1, MOST_LEVELS):
        raise InvalidInput(f"levels={levels!r}: give a whole number from 1 to {MOST_LEVELS}")
    if start not in STARTS:
        raise InvalidInput(f"start={start!r} is unknown; {nearest(str(start), STARTS)}")
    if start == "random" and generator is None:
        raise InvalidInput("start='random' draws values: give generator=torch.Generator().manual_seed(0)")
