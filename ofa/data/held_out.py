"""Which examples are held out for validation and test: at random, class by class, or whole groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa.data.identity import identity_of, uniform
from ofa.data.splitting import check_fractions, stratified
from ofa.errors import InvalidInput


def held_out(
    count: int,
    fractions: Mapping[str, float],
    *,
    seed: int,
    labels: Tensor | None = None,
    groups: Sequence[Any] | Tensor | np.ndarray[Any, Any] | None = None,
) -> dict[str, Tensor]:
    """Returns the rows (int64, ascending) of each part of `fractions`, and of "train", which gets the rest.

    Args:
        count: how many examples.
        fractions: of the whole, by part.
        seed: the cut is a function of it and of what else is given.
        labels: (N,) int64: every class is shared out alike (see `stratified`).
        groups: one for each example, such as its patient or its video: a group is in one part alone (see `by_group`).

    Raises:
        InvalidInput: fractions that leave a part empty, or labels or groups that do not fit.
    """
    if groups is not None:
        return by_group(groups, fractions, seed=seed, count=count)
    if labels is not None:
        return stratified(labels, fractions, seed=seed)
    check_fractions(fractions)
    order = np.random.default_rng([seed, count]).permutation(count)
    return _cut(order, np.arange(1, count + 1), count, fractions, "examples")


def by_group(
    groups: Sequence[Any] | Tensor | np.ndarray[Any, Any], fractions: Mapping[str, float], *, seed: int, count: int
) -> dict[str, Tensor]:
    """Returns the rows of each part as `held_out` does, no group in two of them.

    Groups are taken in an order that is a function of their names and `seed`, until a part has its share of the
    examples, as nearly as whole groups allow; every part gets at least one.

    Raises:
        InvalidInput: more or fewer groups than examples, fewer than parts, or fractions that do not fit.
    """
    check_fractions(fractions)
    names = groups.tolist() if isinstance(groups, Tensor | np.ndarray) else list(groups)
    if len(names) != count:
        raise InvalidInput(f"{len(names)} groups for {count} examples: give one for each")
    if None in names:
        raise InvalidInput(f"groups: row {names.index(None)} has none; every example needs a group")
    known = list(dict.fromkeys(names))
    if len(known) <= len(fractions):
        raise InvalidInput(
            f"groups has {len(known)} different values, and no group may be in two splits: "
            f"give at least {len(fractions) + 1}, or splits of your own"
        )
    identities = torch.tensor([identity_of(repr(name).encode()) for name in known], dtype=torch.int64)
    position = {known[index]: rank for rank, index in enumerate(np.argsort(uniform(identities, seed), kind="stable"))}
    ranks: np.ndarray[tuple[int], np.dtype[np.int64]] = np.array([position[name] for name in names], dtype=np.int64)
    order = np.argsort(ranks, kind="stable")
    ends = np.cumsum(np.bincount(ranks))
    return _cut(order, ends, count, fractions, "groups")


def _cut(
    order: np.ndarray[Any, Any], ends: np.ndarray[Any, Any], count: int, fractions: Mapping[str, float], what: str
) -> dict[str, Tensor]:
    """Parts of an order, cut at those of the `ends` that are nearest to the fractions; none is empty."""
    if len(ends) <= len(fractions):
        raise InvalidInput(f"{count} {what} are too few for {', '.join(fractions)} and train: give more")
    parts, begun, groups_cut = {}, 0, 0
    for number, (name, end) in enumerate(zip(fractions, np.cumsum(list(fractions.values())), strict=True)):
        last = len(ends) - (len(fractions) - number)  # what must be left for the parts that follow
        nearest = int(np.abs(ends - end * count).argmin())
        groups_cut = min(max(nearest + 1, groups_cut + 1), last)
        parts[name] = torch.from_numpy(np.sort(order[begun : ends[groups_cut - 1]]).astype(np.int64))
        begun = int(ends[groups_cut - 1])
    parts["train"] = torch.from_numpy(np.sort(order[begun:]).astype(np.int64))
    return parts
