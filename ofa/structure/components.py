"""Components: which labels stay or go together, once grids are even and what all heads share is decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ofa.structure.trace import Shared

IntArray = np.ndarray[Any, np.dtype[np.int64]]
Fixed = list[tuple[IntArray, str]]


def components(pairs: IntArray, grids: Sequence[IntArray], count: int) -> IntArray:
    """Returns the component of each of `count` labels, once every grid is tied to be a product.

    A dimension that was broken into a grid of rows and columns shrinks evenly only if whole rows or whole
    columns go: where units vary along more than one side of a grid, all but the longest side are tied.
    """
    while True:
        root = connected(pairs, count)
        ties = [tie for grid in grids for tie in _grid_ties(grid, root)]
        if not ties:
            return root
        pairs = np.concatenate([pairs, *ties])


def connected(pairs: IntArray, count: int) -> IntArray:
    """Returns the component of each of `count` labels that these pairs connect."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, root = connected_components(graph, directed=False)
    return np.asarray(root, dtype=np.int64)


def decide_shared(pairs: IntArray, shared: Sequence[Shared], count: int) -> tuple[IntArray, Fixed]:
    """Returns the pairs with those added that must be tied, and the labels that stay because all heads share them.

    A vector over the channels of a head that meets every head alike is tied to them where single channels may
    go. Where only whole heads may go, each head that remains needs all of it: it stays, and the heads are free.
    """
    fixed: Fixed = []
    if not shared:
        return pairs, fixed
    root = connected(pairs, count)
    ties = [pairs]
    for item in shared:
        roots = root[item.labels.numpy()]
        if any((roots != roots.take([0], axis=dim)).any() for dim in item.dims):
            met = item.pairs.numpy()
            constant = (met == 0).any(axis=1)
            fixed.append((met[constant].reshape(-1), item.reason))
            ties.append(met[~constant])
        else:
            fixed.append((item.pairs.numpy()[:, 1], f"is common to all heads ({item.reason})"))
    return np.concatenate(ties), fixed


def _grid_ties(grid: IntArray, root: IntArray) -> list[IntArray]:
    roots = root[grid]
    uneven = [d for d in range(grid.ndim) if (roots != roots.take([0], axis=d)).any()]
    if len(uneven) <= 1:
        return []
    longest = max(uneven, key=lambda d: grid.shape[d])
    ties = []
    for d in uneven:
        if d != longest:
            first, _ = np.broadcast_arrays(grid.take([0], axis=d), grid)
            ties.append(np.stack([first.reshape(-1), grid.reshape(-1)], axis=1))
    return ties
