"""Cutting a labelled set in parts, class by class."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ofa.errors import InvalidInput


def stratified(labels: Tensor, fractions: tuple[float, ...], *, seed: int) -> tuple[Tensor, ...]:
    """Returns row numbers (int64, ascending) of each part, every class shared out in the same proportions.

    `fractions` are of the whole; what is left over is the first part returned. Which rows go where is a function
    of (labels, fractions, seed). A class of two rows or more never loses its last row of the first part.

    Raises:
        InvalidInput: fractions that are not positive or leave nothing for the first part.
    """
    if any(not 0 < fraction < 1 for fraction in fractions) or not sum(fractions) < 1:
        raise InvalidInput(f"split fractions {fractions}: each must be above 0 and their sum below 1")
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray[tuple[int], np.dtype[np.int64]]]] = [[] for _ in range(len(fractions) + 1)]
    known = labels.cpu().numpy()
    for label in np.unique(known):
        rows = rng.permutation(np.flatnonzero(known == label))
        # Rounded ends, not rounded sizes: the parts of a class always add up to it.
        ends = np.rint(np.cumsum(fractions) * len(rows)).astype(int).clip(max=len(rows) - 1)
        pieces = np.split(rows, ends)
        for part, piece in zip(parts, [pieces[-1], *pieces[:-1]], strict=True):
            part.append(piece)
    return tuple(torch.from_numpy(np.sort(np.concatenate(part)).astype(np.int64)) for part in parts)
