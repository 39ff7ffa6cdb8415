"""Functional ANOVA: what of the variance of a forest's prediction each column decides, alone and in pairs.

Source: Hutter, Hoos, Leyton-Brown 2014, "An efficient approach for assessing hyperparameter importance" (ICML),
algorithms 1 and 2: the leaves of a regression tree are boxes, so marginals of a tree are sums over leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Leaves:
    """The leaves of one tree.

    Attributes:
        inside: bool (leaves, all cells of all columns), whether a cell belongs to the leaf's box.
        values: float64 (leaves,), what the tree predicts there.
    """

    inside: Bools
    values: Floats


@dataclass(frozen=True)
class Decomposition:
    """Variances of a function whose columns are drawn independently, every cell of a column equally often.

    Attributes:
        mains: float64 (columns,), the variance of the marginal mean over each column.
        pairs: float64 (columns, columns), symmetric, what two decide together beside what each decides alone.
        marginals: float64 (all cells), the mean where a column is in one cell.
    """

    mains: Floats
    pairs: Floats
    marginals: Floats


def decompose(trees: Sequence[Leaves], cells: Sequence[int]) -> Decomposition:
    """Returns the Decomposition of the mean of `trees`, exactly.

    Args:
        cells: how many cells each column has, in the order of `Leaves.inside`.
    """
    of_column = np.repeat(np.eye(len(cells)), cells, axis=0)  # (all cells, columns), 1 where it belongs
    chance = of_column @ (1 / np.asarray(cells, dtype=np.float64))  # of each cell
    marginals, joint, mean = np.zeros(len(chance)), np.zeros((len(chance), len(chance))), 0.0
    for tree in trees:
        share = (tree.inside * chance) @ of_column  # (leaves, columns): the part of a column that a box spans
        mass = tree.values * share.prod(axis=1) / len(trees)
        given = tree.inside / (share @ of_column.T)  # by how much knowing the cell changes a box's chance
        marginals += mass @ given
        joint += given.T @ (mass[:, None] * given)
        mean += float(mass.sum())
    mains = ((marginals - mean) ** 2 * chance) @ of_column
    alone = marginals[:, None] + marginals[None, :] - mean
    pairs = of_column.T @ ((joint - alone) ** 2 * np.outer(chance, chance)) @ of_column
    np.fill_diagonal(pairs, 0.0)
    return Decomposition(mains, pairs, marginals)


def leaves_of(tree: Any, cells: Sequence[int]) -> Leaves:
    """Returns the leaves of a fitted scikit-learn regression tree over columns of codes 0, 1, 2 ...

    Args:
        tree: its `tree_`.
        cells: how many codes each column has.
    """
    starts = np.concatenate([[0], np.cumsum(cells)])
    boxes = np.ones((tree.node_count, int(starts[-1])), dtype=np.bool_)
    codes = [np.arange(count) for count in cells]
    for node in range(tree.node_count):  # parents come before their children
        left, right, column = tree.children_left[node], tree.children_right[node], tree.feature[node]
        if left == right:
            continue
        below = codes[column] <= tree.threshold[node]
        place = slice(starts[column], starts[column + 1])
        boxes[left], boxes[right] = boxes[node], boxes[node]
        boxes[left, place] &= below
        boxes[right, place] &= ~below
    ends = tree.children_left == tree.children_right
    return Leaves(boxes[ends], tree.value[ends, 0, 0].astype(np.float64))
