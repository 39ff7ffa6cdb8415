"""Cutting a labeled set in parts: a fixed set class by class, one that may grow by the identities of its samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ofa.data.identity import uniform
from ofa.errors import InvalidInput

_OTHER_SEEDS = 1000  # looked through for one that leaves no class without training samples


def stratified(labels: Tensor, fractions: Mapping[str, float], *, seed: int) -> dict[str, Tensor]:
    """Returns the rows (int64, ascending) of each part of `fractions`, and of "train", which gets the rest.

    Fractions are of the whole, and every class is shared out in the same proportions; "train" has at least
    one row of each. Which rows go where is a function of (labels, fractions, seed): for sets that stay what
    they are, since one more sample would move others. See `by_identity` for sets that may grow.

    Raises:
        InvalidInput: fractions that are not positive or leave nothing to train on.
    """
    check_fractions(fractions)
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


def by_identity(
    identities: Tensor,
    labels: Tensor,
    fractions: Mapping[str, float],
    *,
    seed: int,
    class_names: Sequence[str] = (),
) -> dict[str, Tensor]:
    """Returns the rows (int64, ascending) of each part of `fractions`, and of "train", which gets the rest.

    Where a sample goes is a function of (its identity, fractions, seed) alone. So samples that are added or
    removed never move another one, and equal samples are in the same part. The price is that fractions are
    met on average: of n samples of a class, fraction * n, give or take the square root of that. There is no
    rule without it that gives every class a training sample: with samples a, b and {a} alone, {b} alone given
    to train, {a, b} cannot give one to test unless adding a sample moved it. So that is refused, with a seed
    that serves.

    Args:
        identities: (N,) int64.
        labels: (N,) int64.
        fractions: of the whole, by part; changing a later one moves no sample of those before it.
        class_names: what to call classes in an error.

    Raises:
        InvalidInput: fractions that are not positive or leave nothing to train on; a part that gets no
            samples, or a class without any to train on.
    """
    check_fractions(fractions)
    part = _part_numbers(identities, fractions, seed)
    if fault := _fault(part, labels.cpu().numpy(), fractions, class_names):
        if len(identities) > 1 and bool((identities == identities[0]).all()):
            raise InvalidInput(f"all {len(identities)} images are the same; check the files")
        known = labels.cpu().numpy()
        others = (seed + 1 + number for number in range(_OTHER_SEEDS))
        serves = next(
            (
                other
                for other in others
                if not _fault(_part_numbers(identities, fractions, other), known, fractions, class_names)
            ),
            None,
        )
        way_out = "add images, or" if serves is None else f"with data.dataset.seed={serves} there are some, or"
        raise InvalidInput(f"{fault}: {way_out} give folders or splits of your own for {' and '.join(fractions)}")
    return {name: torch.from_numpy(np.flatnonzero(part == number)) for number, name in enumerate([*fractions, "train"])}


def _part_numbers(
    identities: Tensor, fractions: Mapping[str, float], seed: int
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Returns the position of each sample's part in `fractions`, and their number for "train"."""
    ends = np.cumsum(list(fractions.values()))
    return np.searchsorted(ends, uniform(identities, seed), side="right").astype(np.int64)


def _fault(
    part: np.ndarray[tuple[int], np.dtype[np.int64]],
    labels: np.ndarray[tuple[int], np.dtype[np.int64]],
    fractions: Mapping[str, float],
    class_names: Sequence[str],
) -> str:
    """What a cut lacks, in words; empty where it can be used."""
    for number, (name, fraction) in enumerate(fractions.items()):
        if not (part == number).any():
            return f"{name}={fraction} of {len(part)} images leaves none"
    counts = np.bincount(labels)
    without = np.flatnonzero((counts > 0) & (np.bincount(labels[part == len(fractions)], minlength=len(counts)) == 0))
    if not len(without):
        return ""
    first = int(without[0])
    name = repr(class_names[first]) if class_names else str(first)
    images = f"{counts[first]} image{'s' if counts[first] > 1 else ''}"
    more = f", like {len(without) - 1} more" if len(without) > 1 else ""
    cut = ", ".join(f"{part}={fraction}" for part, fraction in fractions.items())
    return f"class {name} ({images}) has none to train on after cutting out {cut}{more}"


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Checks the fractions of what is held out.

    Raises:
        InvalidInput: one that is not a fraction, or fractions that leave nothing to train on.
    """
    if any(not 0 < fraction < 1 for fraction in fractions.values()) or not sum(fractions.values()) < 1:
        shares = ", ".join(f"{name}={fraction}" for name, fraction in fractions.items())
        raise InvalidInput(f"{shares}: each is a fraction above 0, and together they must be below 1")
