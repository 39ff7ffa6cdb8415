"""A Dataset of any map-style data set: torch's, those of the library `datasets`, lists, or a class of your own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ofa.data.collating import collate as usual_collate
from ofa.data.dataset import Dataset, ordered
from ofa.data.held_out import held_out
from ofa.data.map_style import MapStyle
from ofa.data.preprocessing import Preprocessing
from ofa.data.split import Split
from ofa.data.targets import outputs_for
from ofa.errors import InvalidInput, is_whole, nearest

AS_GIVEN = Preprocessing(1.0, (), (), stored="as the data set gives them")


def from_dataset(
    train: Any,
    *,
    validation: Any = 0.1,
    test: Any = 0.1,
    inputs: str | Sequence[str] | None = None,
    targets: str | None = None,
    collate: Callable[[Sequence[Any]], Any] | None = None,
    num_workers: int = 0,
    groups: Any = None,
    labels: Any = None,
    seed: int = 0,
    name: str = "dataset",
    num_classes: int | None = None,
    class_names: Sequence[str] = (),
    target_names: Sequence[str] = (),
    outputs: int | None = None,
    looked_at: int = 128,
) -> Dataset:
    """Returns the Dataset of a map-style one: of `torch.utils.data`, of `datasets`, or anything with length and rows.

    Rows are read batch by batch, in worker processes if there are any. Their order and what `torch`, `numpy.random` and
    `random` draw while a batch is read (augmentations) are functions of (seed, epoch, step): the same bits whatever the
    number of workers, and after a training was stopped. Generators that the data set keeps itself are not seeded.

    Args:
        train: the data set; its rows are pairs (inputs, targets), dictionaries, or inputs alone.
        validation, test: data sets of their own; or the fraction of `train` that each takes, as a function of `seed`.
        inputs, targets: the keys of rows that are dictionaries: one input, or several, the network's arguments by
            keyword; where None all but "labels" are inputs, by keyword.
        collate: rows -> a batch, see `ofa.task.as_batch`; by default `ofa.data.collating.collate`.
        num_workers: processes; 0 reads in the training's own.
        groups: what may not be in two splits: a column's name, or a value for each row of `train` (patients, videos).
        labels: what is shared out alike where fractions are cut: a column's name, or a whole number for each row.
        seed: of the cut.
        name: of the data set, in cards and reports.
        num_classes, class_names, target_names, outputs: see `Dataset`; of a column of class labels of `datasets` the
            first two are known.
        looked_at: rows of each split whose contents say whether this is the same data set as before.

    Raises:
        InvalidInput: something without length and rows, a row that cannot be read, rows that make no batch, or
            fractions that do not fit.
    """
    if not is_whole(num_workers, 0):
        raise InvalidInput(f"num_workers={num_workers!r}: must be a whole number, at least 0")
    given = {"train": train, "validation": validation, "test": test}
    cut = {part: share for part, share in given.items() if part != "train" and isinstance(share, float)}
    for part, dataset in given.items():
        if part not in cut:
            _check(part, dataset)
    count = len(train)
    rows = {part: torch.arange(len(dataset)) for part, dataset in given.items() if part not in cut}
    if cut:
        numbers = None if labels is None else _numbered(_values(train, labels, "labels"))
        among = None if groups is None else _values(train, groups, "groups")
        rows |= held_out(count, cut, seed=seed, labels=numbers, groups=among)
    make = usual_collate if collate is None else collate
    if collate is None:
        columns = inputs if inputs is None or isinstance(inputs, str) else tuple(inputs)
        make = partial(usual_collate, inputs=columns, targets=targets)
    splits = {}
    for part in given:
        share = f"{100 * cut[part]:g} % of " if part in cut else ""
        dataset = train if part in cut else given[part]
        source = MapStyle(dataset, rows[part], make, num_workers, f"{part} of {name}", looked_at)
        splits[part] = Split(source, None, AS_GIVEN, origin=f"{share}{type(dataset).__name__}")
    names = tuple(class_names) or _class_names(train, targets)
    return Dataset(
        name,
        *ordered(splits),
        num_classes=num_classes or len(names) or None,
        class_names=names,
        target_names=tuple(target_names),
        outputs=outputs or outputs_for(splits["train"].first[1]),
    )


def _check(part: str, dataset: Any) -> None:
    kind = type(dataset).__name__
    if isinstance(dataset, str | Mapping) or not hasattr(dataset, "__getitem__"):
        raise InvalidInput(
            f"{part} is of type {kind}; give a data set with len() and rows by number, or a fraction such as 0.1 for "
            "validation and test; iterables are for ofa.data.from_iterables"
        )
    try:
        count = len(dataset)
    except TypeError:
        raise InvalidInput(f"{part}, a {kind}, has no length; give it __len__, or use from_iterables") from None
    if count == 0:
        raise InvalidInput(f"{part}, a {kind}, has no rows")


def _values(dataset: Any, given: Any, option: str) -> Sequence[Any]:
    """The values of a column, or those that are given, one for each row."""
    if not isinstance(given, str):
        values: Sequence[Any] = given.tolist() if hasattr(given, "tolist") else list(given)
    elif given in (columns := getattr(dataset, "column_names", ())):
        values = list(dataset[given])
    elif hasattr(dataset, given):
        values = list(getattr(dataset, given))
    else:
        choices = nearest(given, columns) if columns else f"give {type(dataset).__name__} an attribute of that name"
        raise InvalidInput(
            f"{option}={given!r} is no column or attribute of the data set, with a value for each row; {choices}"
        )
    if len(values) != len(dataset):
        raise InvalidInput(f"{option}: {len(values)} values for {len(dataset)} rows; give one for each")
    return values


def _numbered(values: Sequence[Any]) -> Tensor:
    """Values as whole numbers, equal where values are."""
    position = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return torch.tensor([position[value] for value in values])


def _class_names(dataset: Any, targets: str | None) -> tuple[str, ...]:
    """The names of classes that a column of `datasets` knows."""
    features = getattr(dataset, "features", None)
    feature = features.get(targets) if isinstance(features, Mapping) and targets is not None else None
    return tuple(getattr(feature, "names", None) or ())
