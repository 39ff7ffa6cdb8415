"""Cutting a labelled set in parts, class by class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ofa.errors import InvalidInput


def stratified(labels: Tensor, fractions: Mapping[str, float], *, seed: int) -> dict[str, Tensor]:
    """Returns the rows (int64, ascending) of each part of `fractions`, and of "train", which gets the rest.

    Fractions are of the whole, and every class is shared out in the same proportions; "train" has at least
    one row of each. Which rows go where is a function of (labels, fractions, seed).

    Raises:
        InvalidInput: fractions that are not positive or leave nothing to train on.
    """
    if any(not 0 < fraction < 1 for fraction in fractions.values()) or not sum(fractions.values()) < 1:
        given = ", ".join(f"{name}={fraction}" for name, fraction in fractions.items())
        raise InvalidInput(f"{given}: each is a fraction above 0, and together they must be below 1")
    rng = np.random.default_rng(seed)
    known = labels.cpu().numpy()
    names = [*fractions, "train"]
    parts: dict[str, list[np.ndarray[tuple[int], np.dtype[np.int64]]]] = {name: [] for name in names}
    for label in np.unique(known):
        rows = rng.permutation(np.flatnonzero(known == label))
        # Rounded ends, not rounded sizes: the parts of a class always add up to it.
        ends = np.rint(np.cumsum(list(fractions.values())) * len(rows)).astype(int).clip(max=len(rows) - 1)
        for name, piece in zip(names, np.split(rows, ends), strict=True):
            parts[name].append(piece)
    return {name: torch.from_numpy(np.sort(np.concatenate(piece)).astype(np.int64)) for name, piece in parts.items()}
