"""What decides the accuracy: the shares of choices and settings in what a random forest predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.analysis.columns import ABSENT, Column, Integers, columns_of
from search.analysis.fanova import Decomposition, Floats, decompose, leaves_of
from search.candidate import Setting

TREES = 64
LEAST_IN_LEAF = 2
DRAWS = 8192  # candidates by which the forest's whole variance is estimated, to some 2 %
PAIRS = 8  # that are kept, the strongest


@dataclass(frozen=True)
class Decisive:
    """Shares of a forest's variance, all choices drawn independently, each of their values equally often.

    Attributes:
        candidates: that the forest was fitted on.
        held_out: how well it predicts candidates that it has not seen, R^2: 1 is exactly, 0 no better than the mean.
        mains: the share that each decides alone, by name, the largest first.
        pairs: (name, name, share) of what two decide together beside that, the largest first.
    """

    candidates: int
    held_out: float
    mains: Mapping[str, float]
    pairs: tuple[tuple[str, str, float], ...]


def decisive(candidates: Sequence[Mapping[str, Setting]], target: Sequence[float], seed: int = 0) -> Decisive | None:
    """Returns what decides `target`, a number a candidate; None where nothing varies.

    A choice that does not count in a candidate gets values at random, other ones in each tree. So the forest is of the
    function that ignores it there, which is defined wherever the choices are independent, as functional ANOVA needs.
    `held_out` is over the trees whose bootstrap left a candidate out (Breiman 2001, "Random forests", section 3.1).
    """
    columns = [column for column in columns_of(candidates) if len(column.cells) > 1]
    wanted = np.asarray(target, dtype=np.float64)
    if not columns or not wanted.var() > 0:
        return None
    cells = [len(column.cells) for column in columns]
    codes = np.stack([column.codes for column in columns], axis=1)
    rng = np.random.default_rng(seed)
    trees, held_out = _forest(codes, cells, wanted, rng)
    drawn = rng.integers(0, cells, (DRAWS, len(cells)))
    found = decompose([leaves_of(tree, cells) for tree in trees], cells)
    whole = float(np.mean([_predicted(tree, drawn) for tree in trees], axis=0).var())
    return Decisive(len(wanted), held_out, *_shares(found, whole, columns))


def _forest(codes: Integers, cells: Sequence[int], wanted: Floats, rng: np.random.Generator) -> tuple[list[Any], float]:
    """The trees of a random forest, and its R^2 on what each was not fitted on."""
    from sklearn.tree import DecisionTreeRegressor  # a slow import, needed here alone

    count = len(wanted)
    trees, sums, times = [], np.zeros(count), np.zeros(count)
    for _ in range(TREES):
        chosen = rng.integers(0, count, count)
        filled = np.where(codes == ABSENT, rng.integers(0, cells, codes.shape), codes)
        one = DecisionTreeRegressor(
            min_samples_leaf=LEAST_IN_LEAF, max_features=0.5, random_state=int(rng.integers(2**31))
        )
        tree = one.fit(filled[chosen], wanted[chosen]).tree_
        left_out = np.bincount(chosen, minlength=count) == 0
        sums[left_out] += _predicted(tree, filled[left_out])
        times[left_out] += 1
        trees.append(tree)
    known = times > 0
    errors = (wanted[known] - sums[known] / times[known]) ** 2
    return trees, 1 - float(errors.mean() / wanted[known].var()) if known.any() and wanted[known].var() > 0 else 0.0


def _predicted(tree: Any, codes: Integers) -> Floats:
    return np.asarray(tree.predict(codes.astype(np.float32))[:, 0], dtype=np.float64)


def _shares(
    found: Decomposition, whole: float, columns: Sequence[Column]
) -> tuple[dict[str, float], tuple[tuple[str, str, float], ...]]:
    names = [column.name for column in columns]
    order = np.argsort(-found.mains, kind="stable")
    mains = {names[index]: float(found.mains[index] / whole) if whole > 0 else 0.0 for index in order}
    firsts, seconds = np.triu_indices(len(names), 1)
    strengths = found.pairs[firsts, seconds]
    strongest = [index for index in np.argsort(-strengths, kind="stable")[:PAIRS] if strengths[index] > 0]
    pairs = [(names[firsts[index]], names[seconds[index]], float(strengths[index] / whole)) for index in strongest]
    return mains, tuple(pairs)
