"""Analysis of one search: which choices and settings decide the quality (fANOVA), and the effect of each setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from search.analysis.columns import ABSENT, Column, Integers, Searched, columns_of, dependents
from search.analysis.effects import Effect, Floats, effect_of
from search.analysis.together import Together, together_of
from search.run.cards import Setting

LEAST = 20  # candidates; with fewer the shares are noise

RANGES = 4  # ranges of a number that are compared


@dataclass(frozen=True)
class Analysis:
    """The analysis of the candidates of a search that were evaluated to the end.

    Attributes:
        candidates: their number.
        given_up: the number that stopped early, left out because their scores are of less training.
        decisive: None if they are too few, or all alike.
        settings: the settings that were searched beside the Arch.
        effects: the effect of each setting that any candidate has.
        together: schedule, starting weights and sparsity; None if fewer than two of them are searched.
    """

    candidates: int
    given_up: int
    decisive: Decisive | None
    settings: tuple[Searched, ...] = ()
    effects: Mapping[str, Effect] = field(default_factory=dict)
    together: Together | None = None


def analyze(
    archs: Sequence[Mapping[str, int]],
    settings: Sequence[Mapping[str, Setting]],
    quality: Sequence[float],
    searched: Sequence[Searched] = (),
    given_up: int = 0,
) -> Analysis:
    """Returns the Analysis of candidates: choices, settings and qualities (larger is better), in the same order."""
    candidates = [{**arch, **chosen} for arch, chosen in zip(archs, settings, strict=True)]
    reached = np.asarray(quality, dtype=np.float64)
    tried = {name for chosen in settings for name in chosen}
    return Analysis(
        candidates=len(candidates),
        given_up=given_up,
        decisive=decisive(candidates, quality) if len(candidates) >= LEAST else None,
        settings=tuple(searched),
        effects={
            setting.name: _effect(setting, candidates, reached, searched)
            for setting in searched
            if setting.name in tried
        },
        together=together_of(candidates, reached, searched) if candidates else None,
    )


def _effect(
    setting: Searched, candidates: Sequence[Mapping[str, Setting]], reached: Floats, searched: Sequence[Searched]
) -> Effect:
    hidden = dependents(setting.name, searched) | {setting.name}
    name = setting.name
    (column,) = columns_of([{name: values[name]} if name in values else {} for values in candidates], RANGES)
    others = [other for other in columns_of(candidates) if other.name not in hidden]
    return effect_of(column, reached, others)


Bools = np.ndarray[Any, np.dtype[np.bool_]]

TREES = 64

LEAST_IN_LEAF = 2

DRAWS = 8192  # candidates for an estimate of the forest's whole variance, to about 2 %

PAIRS = 8  # the strongest, which are kept


@dataclass(frozen=True)
class Leaves:
    """The leaves of one tree.

    Attributes:
        inside: bool (leaves, all cells of all columns), whether a cell belongs to the leaf's box.
        values: float64 (leaves,), the prediction of the leaf.
    """

    inside: Bools
    values: Floats


@dataclass(frozen=True)
class Decomposition:
    """Variances of a function whose columns are drawn independently, every cell of a column equally often.

    Attributes:
        mains: float64 (columns,), the variance of the marginal mean over each column.
        pairs: float64 (columns, columns), symmetric, the variance of the interaction of two columns.
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
    of_column = np.repeat(
        np.eye(len(cells)), cells, axis=0
    )  # (all cells, columns), 1 where a cell belongs to the column
    chance = of_column @ (1 / np.asarray(cells, dtype=np.float64))  # of each cell
    marginals, joint, mean = np.zeros(len(chance)), np.zeros((len(chance), len(chance))), 0.0
    for tree in trees:
        share = (tree.inside * chance) @ of_column  # (leaves, columns): the part of a column that a box spans
        mass = tree.values * share.prod(axis=1) / len(trees)
        conditional = tree.inside / (share @ of_column.T)  # factor by which knowing the cell changes a box's chance
        marginals += mass @ conditional
        joint += conditional.T @ (mass[:, None] * conditional)
        mean += float(mass.sum())
    mains = ((marginals - mean) ** 2 * chance) @ of_column
    additive = marginals[:, None] + marginals[None, :] - mean
    pairs = of_column.T @ ((joint - additive) ** 2 * np.outer(chance, chance)) @ of_column
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
        span = slice(starts[column], starts[column + 1])
        boxes[left], boxes[right] = boxes[node], boxes[node]
        boxes[left, span] &= below
        boxes[right, span] &= ~below
    ends = tree.children_left == tree.children_right
    return Leaves(boxes[ends], tree.value[ends, 0, 0].astype(np.float64))


@dataclass(frozen=True)
class Decisive:
    """Shares of a forest's variance, with all choices drawn independently and uniformly.

    Attributes:
        candidates: the number that the forest was fitted on.
        held_out: R^2 on candidates that it was not fitted on: 1 is exact, 0 no better than the mean.
        mains: the share of each column alone, by name, largest first.
        pairs: (name, name, share) of interactions, largest first.
    """

    candidates: int
    held_out: float
    mains: Mapping[str, float]
    pairs: tuple[tuple[str, str, float], ...]


def decisive(candidates: Sequence[Mapping[str, Setting]], target: Sequence[float], seed: int = 0) -> Decisive | None:
    """Returns the shares of `target`, one number per candidate; None if nothing varies.

    A choice that is inactive in a candidate gets random values, new ones for each tree. So the forest fits a function
    that ignores it there and is defined for independent choices, as functional ANOVA needs.
    `held_out` is over the trees whose bootstrap left a candidate out (Breiman 2001, "Random forests", section 3.1).
    """
    columns = [column for column in columns_of(candidates) if len(column.cells) > 1]
    targets = np.asarray(target, dtype=np.float64)
    if not columns or not targets.var() > 0:
        return None
    cells = [len(column.cells) for column in columns]
    codes = np.stack([column.codes for column in columns], axis=1)
    rng = np.random.default_rng(seed)
    trees, held_out = _forest(codes, cells, targets, rng)
    drawn = rng.integers(0, cells, (DRAWS, len(cells)))
    parts = decompose([leaves_of(tree, cells) for tree in trees], cells)
    whole = float(np.mean([_predicted(tree, drawn) for tree in trees], axis=0).var())
    return Decisive(len(targets), held_out, *_shares(parts, whole, columns))


def _forest(
    codes: Integers, cells: Sequence[int], targets: Floats, rng: np.random.Generator
) -> tuple[list[Any], float]:
    """The trees of a random forest, and its out-of-bag R^2."""
    from sklearn.tree import DecisionTreeRegressor  # a slow import, only needed here

    count = len(targets)
    trees, sums, times = [], np.zeros(count), np.zeros(count)
    for _ in range(TREES):
        chosen = rng.integers(0, count, count)
        filled = np.where(codes == ABSENT, rng.integers(0, cells, codes.shape), codes)
        regressor = DecisionTreeRegressor(
            min_samples_leaf=LEAST_IN_LEAF, max_features=0.5, random_state=int(rng.integers(2**31))
        )
        tree = regressor.fit(filled[chosen], targets[chosen]).tree_
        left_out = np.bincount(chosen, minlength=count) == 0
        sums[left_out] += _predicted(tree, filled[left_out])
        times[left_out] += 1
        trees.append(tree)
    predicted = times > 0
    errors = (targets[predicted] - sums[predicted] / times[predicted]) ** 2
    return trees, 1 - float(errors.mean() / targets[predicted].var()) if predicted.any() and targets[
        predicted
    ].var() > 0 else 0.0


def _predicted(tree: Any, codes: Integers) -> Floats:
    return np.asarray(tree.predict(codes.astype(np.float32))[:, 0], dtype=np.float64)


def _shares(
    parts: Decomposition, whole: float, columns: Sequence[Column]
) -> tuple[dict[str, float], tuple[tuple[str, str, float], ...]]:
    names = [column.name for column in columns]
    order = np.argsort(-parts.mains, kind="stable")
    mains = {names[index]: float(parts.mains[index] / whole) if whole > 0 else 0.0 for index in order}
    firsts, seconds = np.triu_indices(len(names), 1)
    strengths = parts.pairs[firsts, seconds]
    strongest = [index for index in np.argsort(-strengths, kind="stable")[:PAIRS] if strengths[index] > 0]
    pairs = [(names[firsts[index]], names[seconds[index]], float(strengths[index] / whole)) for index in strongest]
    return mains, tuple(pairs)
