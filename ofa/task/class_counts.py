"""What is counted for each class, and the measures that follow: recall, precision, F1, intersection over union.

A row of counts is three parts side by side, (..., 3 x classes): hits (it is the class and is named it), true (it is),
named (it is named). Classes that never occur and are never named have no part in a mean over classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_NAN = float("nan")


def class_counts(named: Tensor, true: Tensor, classes: int) -> Tensor:
    """Returns the counts (N, 3 x classes) of what each of N examples is and is named; both (N, items) or (N,) int64.

    Items of a class below 0 are left out.

    Raises:
        ValueError: a class that is not below `classes`.
    """
    if true.numel() and int(true.max()) >= classes:
        raise ValueError(f"class {int(true.max())} of {classes}")
    named, true = named.reshape(len(named), -1), true.reshape(len(true), -1)
    labeled = true >= 0
    rows = torch.arange(len(named), device=named.device)[:, None].expand_as(named)

    def count(chosen: Tensor, values: Tensor) -> Tensor:
        places = rows[chosen] * classes + values[chosen]
        return torch.bincount(places, minlength=len(named) * classes).reshape(len(named), classes)

    return torch.cat([count(labeled & (named == true), true), count(labeled, true), count(labeled, named)], dim=1)


def parts(sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns hits, true and named, each (..., classes)."""
    hits, true, named = sums.chunk(3, dim=-1)
    return hits, true, named


def ratio(above: Tensor, below: Tensor) -> Tensor:
    """Returns above / below, NaN where nothing is below."""
    return torch.where(below > 0, above / below, _NAN)


def recalls(sums: Tensor) -> Tensor:
    """Returns hits / true of each class, (..., classes); NaN of classes that do not occur."""
    hits, true, _ = parts(sums)
    return ratio(hits, true)


def precisions(sums: Tensor) -> Tensor:
    """Returns hits / named of each class, (..., classes); NaN of classes that are never named."""
    hits, _, named = parts(sums)
    return ratio(hits, named)


def f1s(sums: Tensor) -> Tensor:
    """Returns 2 hits / (true + named) of each class, (..., classes)."""
    hits, true, named = parts(sums)
    return ratio(2 * hits, true + named)


def unions(sums: Tensor) -> Tensor:
    """Returns intersection over union of each class, (..., classes)."""
    hits, true, named = parts(sums)
    return ratio(hits, true + named - hits)


def mean_recall(sums: Tensor) -> Tensor:
    """Returns the mean of the recalls of all classes that occur."""
    return recalls(sums).nanmean(dim=-1)


def mean_f1(sums: Tensor) -> Tensor:
    """Returns the mean F1 of all classes that occur or are named."""
    return f1s(sums).nanmean(dim=-1)


def mean_union(sums: Tensor) -> Tensor:
    """Returns the mean intersection over union of all classes that occur or are named."""
    return unions(sums).nanmean(dim=-1)


def pooled_f1(sums: Tensor) -> Tensor:
    """Returns the F1 of all classes' counts together."""
    hits, true, named = (part.sum(dim=-1) for part in parts(sums))
    return ratio(2 * hits, true + named)


def of_class(sums: Tensor, *, measure: Any, index: int) -> Tensor:
    """Returns the measure of one class; 0 where it is not defined, since the class is never named."""
    true = parts(sums)[1]
    value: Tensor = measure(sums)[..., index]
    return torch.where(true[..., index] > 0, value.nan_to_num(0.0), _NAN)


def table(sums: Tensor, *, names: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Returns one row per class: its name, number of examples, recall, precision and F1 (None: undefined)."""
    columns = {"recall": recalls(sums), "precision": precisions(sums), "f1": f1s(sums)}
    counts = parts(sums)[1].tolist()
    return tuple(
        {"class": name, "count": int(counts[index])}
        | {column: number_or_none(values[index]) for column, values in columns.items()}
        for index, name in enumerate(names)
    )


def number_or_none(value: Tensor | float) -> float | None:
    """Returns a finite number, None for any other."""
    number = float(value)
    return number if number == number and abs(number) != float("inf") else None
