"""Sets whose classes are rarer and rarer: a cut of one whose classes are equally frequent."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ofa.data.bundled import digits
from ofa.data.dataset import Dataset, Split
from ofa.data.targets import rows_of_targets
from ofa.errors import InvalidInput, is_number


def imbalanced_digits(
    *, least: float = 0.2, image_size: int = 8, validation: float = 0.25, test: float = 0.25, seed: int = 0
) -> Dataset:
    """Returns scikit-learn's digits, a long tail of them: all zeros, fewer of each next digit, `least` of the nines.

    See `digits` for the other arguments and `long_tailed` for the cut.

    Raises:
        InvalidInput: an argument out of range.
    """
    data = digits(image_size=image_size, validation=validation, test=test, seed=seed)
    return replace(long_tailed(data, least, seed=seed), name="imbalanced_digits")


def long_tailed(data: Dataset, least: float, *, seed: int = 0) -> Dataset:
    """Returns the data set with a fraction of each class, in every split: 1 of the first, `least` of the last.

    The fractions between are a geometric series: of class c among C, least ** (c / (C - 1)) (Cui et al. 2019,
    1901.05555); at least one example of each class stays. Which stay is a function of (data, seed).

    Raises:
        InvalidInput: `least` is not above 0 and at most 1, targets are not labels, or examples are not in memory.
    """
    if not is_number(least) or not 0 < least <= 1:
        raise InvalidInput(f"long_tailed least={least!r}: a fraction, above 0 and at most 1")
    generator = torch.Generator().manual_seed(seed)
    classes = data.num_classes or 1 + int(data.train.labels.max())
    train, validation, test = (
        _cut(split, classes, least, generator) for split in (data.train, data.validation, data.test)
    )
    return replace(data, train=train, validation=validation, test=test)


def _cut(split: Split, classes: int, least: float, generator: torch.Generator) -> Split:
    if not isinstance(split.pixels, Tensor):
        raise InvalidInput("a long tail is cut of examples in memory; these are read when they are asked for")
    selected = []
    for label in range(classes):
        rows = (split.labels == label).nonzero().flatten()
        rows = rows[torch.randperm(len(rows), generator=generator)]
        selected.append(rows[: max(1, round(least ** (label / max(1, classes - 1)) * len(rows)))])
    rows = torch.cat(selected).sort().values
    identities = None if split.known_identities is None else split.known_identities[rows]
    return replace(
        split, pixels=split.pixels[rows], targets=rows_of_targets(split.targets, rows), known_identities=identities
    )
