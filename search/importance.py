"""Importance: what decides the accuracy of the candidates that a study has evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search.candidate import Setting

Floats = np.ndarray[Any, np.dtype[np.float64]]
ABSENT = -1.0  # below every place that a value has
FOLDS = 5
REPEATS = 3


def importances(
    candidates: Sequence[Mapping[str, Setting]], target: Sequence[float], seed: int = 0
) -> dict[str, float]:
    """Returns the share of each choice in what is known about `target`, largest first; they sum to 1, or are all 0.

    By how much random forests predict candidates that they have not seen worse when one choice's values are
    shuffled among the candidates that have it: a choice that counts in few candidates is not mixed up with the depth
    that it depends on. Source: permutation importance (Breiman 2001, "Random forests", section 10), on held-out folds.

    Args:
        candidates: the values by choice or setting; what does not count is missing.
        target: a number a candidate, such as its accuracy.
    """
    from sklearn.ensemble import RandomForestRegressor  # a slow import, needed here alone

    names = list(dict.fromkeys(name for values in candidates for name in values))
    places = _places(candidates, names)
    wanted = np.asarray(target, dtype=np.float64)
    worse = np.zeros(len(names))
    rng = np.random.default_rng(seed)
    fold_of = rng.permutation(len(wanted)) % FOLDS
    for fold in range(FOLDS if len(wanted) >= 2 * FOLDS else 0):
        held_out = fold_of == fold
        forest = RandomForestRegressor(60, min_samples_leaf=2, max_features=0.5, random_state=seed)
        forest.fit(places[~held_out], wanted[~held_out])
        shuffled = _shuffled(places[held_out], rng)
        errors = (forest.predict(shuffled.reshape(-1, len(names))).reshape(len(shuffled), -1) - wanted[held_out]) ** 2
        exact = ((forest.predict(places[held_out]) - wanted[held_out]) ** 2).sum()
        worse += errors.sum(axis=1).reshape(len(names), REPEATS).mean(axis=1) - exact
    worse = np.clip(worse, 0, None)
    shares = worse / worse.sum() if worse.sum() > 0 else worse
    order = np.argsort(-shares, kind="stable")
    return {names[index]: float(shares[index]) for index in order}


def _places(candidates: Sequence[Mapping[str, Setting]], names: Sequence[str]) -> Floats:
    """What a forest needs, (candidates, names): where each value comes among all that its choice took."""
    columns = []
    for name in names:
        taken = sorted({values[name] for values in candidates if name in values}, key=by_size)
        place = {value: float(index) for index, value in enumerate(taken)}
        columns.append([place[values[name]] if name in values else ABSENT for values in candidates])
    return np.array(columns, dtype=np.float64).reshape(len(names), len(candidates)).T


def by_size(value: Setting) -> tuple[bool, float, str]:
    """Returns the key by which values are sorted: numbers by size, then texts."""
    return (True, 0.0, value) if isinstance(value, str) else (False, float(value), "")


def _shuffled(places: Floats, rng: np.random.Generator) -> Floats:
    """The rows (names * REPEATS, rows, names), in each copy one column shuffled among the rows that have it."""
    copies = np.repeat(places[None], places.shape[1] * REPEATS, axis=0)
    for number, copy in enumerate(copies):
        column = number // REPEATS
        having = np.flatnonzero(copy[:, column] != ABSENT)
        copy[having, column] = copy[rng.permutation(having), column]
    return copies
