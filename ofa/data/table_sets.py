"""Data sets of tables: rows of numbers and categories, from files, or those that come with scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ofa.data.dataset import Dataset, Split, ordered
from ofa.data.held_out import held_out
from ofa.data.preprocessing import Preprocessing
from ofa.data.table_columns import Columns, categories, column, features, is_text, numbers, read_columns
from ofa.data.targets import are_labels
from ofa.errors import InvalidInput, nearest

_BUNDLED = ("breast_cancer", "diabetes", "iris", "linnerud", "wine")
_MISSING = ("refuse", "mean")


def table(
    path: str,
    *,
    targets: str | Sequence[str],
    inputs: Sequence[str] | None = None,
    classes: bool | None = None,
    groups: str | None = None,
    missing: str = "refuse",
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
    name: str | None = None,
) -> Dataset:
    """Returns rows (N, features) of a CSV or parquet file, numbers standardized over the training split.

    Args:
        path: of the file; a CSV's first line names the columns.
        targets: a column, or several of numbers: targets (N,), or (N, K).
        inputs: columns; all others where None. Text becomes a feature for each of its values, at most 64.
        classes: whether the target column is of classes, each value one; None: if it is text.
        groups: a column whose values may not be in two splits, such as the patient; it is no input.
        missing: numbers that are missing are refused, or get the training split's mean ("mean").
        validation, test: fractions of the rows, classes shared out alike, as a function of `seed`.
        seed: of the cut.
        name: of the data set; the file's where None.

    Raises:
        InvalidInput: a file that cannot be read, a column that is not there, or values that do not fit.
    """
    if missing not in _MISSING:
        raise InvalidInput(f"missing={missing!r} is unknown; {nearest(missing, _MISSING)}")
    columns = read_columns(path)
    wanted = (targets,) if isinstance(targets, str) else tuple(targets)
    held, class_names = _targets(columns, wanted, classes)
    names = [each for each in columns if each not in (*wanted, groups)] if inputs is None else list(inputs)
    if shared := sorted({*wanted} & {*names}):
        raise InvalidInput(f"inputs and targets both have {shared[0]!r}: what is to be predicted is no input")
    rows, are_numbers = features(columns, names)
    return _dataset(
        rows,
        held,
        torch.tensor(are_numbers),
        fractions={"validation": float(validation), "test": float(test)},
        groups=None if groups is None else column(columns, groups, "groups"),
        missing=missing,
        seed=seed,
        name=name or Path(path).stem,
        class_names=class_names,
        target_names=() if class_names else wanted,
    )


def bundled_table(name: str, *, validation: float = 0.2, test: float = 0.2, seed: int = 0) -> Dataset:
    """Returns a table that comes with scikit-learn, nothing to download, its numbers standardized.

    Args:
        name: of a regression: "diabetes" (442 patients, how far the disease is after a year), "linnerud" (20 people,
            three measures of their bodies from three exercises); of classes: "breast_cancer" (569 tumors, 2 classes),
            "wine" (178, 3), "iris" (150, 3).
        validation, test: fractions of the rows, classes shared out alike, as a function of `seed`.
        seed: of the cut.

    Raises:
        InvalidInput: an unknown name, or fractions that do not fit.
    """
    if name not in _BUNDLED:
        raise InvalidInput(f"bundled_table name={name!r} is unknown; {nearest(str(name), _BUNDLED)}")
    from sklearn import datasets  # a slow import, needed only here

    loaded = getattr(datasets, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    rows, values = torch.from_numpy(loaded.data).float(), torch.from_numpy(loaded.target)
    of_classes = name in ("breast_cancer", "iris", "wine")
    class_names = tuple(map(str, loaded.target_names)) if of_classes else ()
    target_names = {"diabetes": ("progression",), "linnerud": tuple(getattr(loaded, "target_names", ()))}.get(name, ())
    return _dataset(
        rows,
        values.long() if of_classes else values.float(),
        torch.ones(rows.shape[1], dtype=torch.bool),
        fractions={"validation": float(validation), "test": float(test)},
        groups=None,
        missing="refuse",
        seed=seed,
        name=name,
        class_names=class_names,
        target_names=target_names,
    )


def _dataset(
    rows: Tensor,
    targets: Tensor,
    are_numbers: Tensor,
    *,
    fractions: dict[str, float],
    groups: Sequence[object] | None,
    missing: str,
    seed: int,
    name: str,
    class_names: tuple[str, ...],
    target_names: tuple[str, ...],
) -> Dataset:
    labels = targets if are_labels(targets) else None
    parts = held_out(len(rows), fractions, seed=seed, labels=labels, groups=groups)
    train = rows[parts["train"]]
    known = torch.isfinite(train)
    if not bool(torch.isfinite(rows).all()) and missing == "refuse":
        row = int((~torch.isfinite(rows)).any(dim=1).nonzero()[0])
        raise InvalidInput(f"{name}: row {row} lacks a number; give missing=mean, or leave the row or its column out")
    counts = known.sum(dim=0).clamp(min=1)
    filled = torch.where(known, train, torch.zeros(()))
    mean = filled.double().sum(dim=0) / counts
    std = (torch.where(known, train - mean, torch.zeros(()).double()).square().sum(dim=0) / counts).sqrt()
    rows = torch.where(torch.isfinite(rows), rows, mean.float())
    mean = torch.where(are_numbers, mean, torch.zeros(()).double())
    std = torch.where(are_numbers & (std > 1e-12), std, torch.ones(()).double())
    preprocessing = Preprocessing(1.0, tuple(mean.tolist()), tuple(std.tolist()), stored="columns of numbers; 0 and 1")
    splits = {
        part: Split(
            rows[index],
            targets[index],
            preprocessing,
            origin=f"{100 * fractions[part]:g} % of {len(rows)} rows" if part in fractions else f"{len(rows)} rows",
        )
        for part, index in parts.items()
    }
    return Dataset(
        name,
        *ordered(splits),
        num_classes=len(class_names) or None,
        class_names=class_names,
        target_names=target_names,
    )


def _targets(columns: Columns, names: Sequence[str], classes: bool | None) -> tuple[Tensor, tuple[str, ...]]:
    """The targets of all rows, and the classes' names where they are labels."""
    held = {name: column(columns, name, "targets") for name in names}
    if len(names) == 1 and (is_text(held[names[0]]) if classes is None else classes):
        values = [int(v) if isinstance(v, float) and v.is_integer() else v for v in held[names[0]]]
        return categories(values, names[0])
    if not names or classes:
        raise InvalidInput(f"targets={list(names)}: classes are of one column")
    numeric = [numbers(values, name) for name, values in held.items()]
    for name, each in zip(names, numeric, strict=True):
        if not bool(torch.isfinite(each).all()):
            row = int((~torch.isfinite(each)).nonzero()[0])
            raise InvalidInput(f"targets={name!r}: row {row} has none; leave the row out")
    return (numeric[0] if len(names) == 1 else torch.stack(numeric, dim=1)), ()
