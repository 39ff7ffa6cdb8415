"""Image data sets from parquet files, image folders or the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ofa.data.dataset import Dataset, Preprocessing, Split
from ofa.data.decoding import RESIZE, EncodedImages, ImageFormat, format_of
from ofa.data.splitting import stratified
from ofa.data.statistics import preprocessing_of
from ofa.data.tables import image_column as read_images
from ofa.data.tables import label_values, number_labels, open_tables
from ofa.errors import InvalidInput, nearest


def hub(
    *,
    path: str,
    name: str | None = None,
    subset: str | None = None,
    image_column: str = "image",
    label_column: str = "label",
    image_size: int | Sequence[int] | None = None,
    channels: int | None = None,
    train: str = "train",
    validation: str | None = None,
    test: str | None = "test",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    limit_train: int | None = None,
    limit_validation: int | None = None,
    limit_test: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    seed: int = 0,
    memory_limit_mib: int = 2048,
    threads: int = 0,
    cache_dir: str | None = None,
) -> Dataset:
    """Returns the data set at `path`: a parquet file, a folder of those or of images, or a name on the hub.

    `train`, `validation` and `test` name its splits; a validation or test of None is cut out of the training
    images (`validation_fraction`, `test_fraction` of all of them, class by class, a function of `seed`).
    `limit_*` keeps that many images of a split, drawn by `seed`. Images become `image_size` (pixels, or
    height and width; None: all have the first one's) with `channels` 1 or 3 (None: as the first). Splits that
    take at most `memory_limit_mib` MiB as bytes are decoded at once, larger ones batch by batch. `mean` and
    `std` (per channel, of pixels in [0, 1]) are measured where not given. `name` is how the data set is
    called in reports, `subset` its configuration.

    Raises:
        InvalidInput: nothing at `path`, a missing split or column, a column without images, images that
            differ in size, labels unknown to the training images, or the extra `data` not installed.
    """
    tables = open_tables(path, subset=subset, cache_dir=cache_dir)
    wanted = {"train": train, "validation": validation, "test": test}
    used = {part: _table(tables, part, split) for part, split in wanted.items() if split is not None}
    classes, class_names, labels = _labels(used, label_column)
    fractions = {"validation": validation_fraction, "test": test_fraction}
    rows = _rows(labels, {part: fraction for part, fraction in fractions.items() if part not in used}, seed)
    limits = {"train": limit_train, "validation": limit_validation, "test": limit_test}
    rows = {part: _limited(rows[part], limits[part], part, seed) for part in wanted}

    columns = {part: read_images(table, image_column) for part, table in used.items()}
    origin = f"{path}, column {image_column}"
    form = format_of(columns["train"][[0]][0], image_size=image_size, channels=channels, origin=f"{origin}, row 0")
    splits, preprocessing = {}, None
    for part in wanted:  # training images first: the statistics are theirs
        source = part if part in used else "train"
        encoded = EncodedImages(columns[source], rows[part], form, f"{origin} of {source}", threads)
        pixels = encoded.decoded() if encoded.size_bytes <= memory_limit_mib * 2**20 else encoded
        if preprocessing is None:
            preprocessing = _preprocessing(pixels, form, mean, std)
        limit = 4 * memory_limit_mib * 2**20  # float32 takes four times the bytes of uint8
        splits[part] = Split(pixels, labels[source][rows[part]], preprocessing, limit)
    return Dataset(name or path, **splits, num_classes=len(classes), class_names=class_names)


def _table(tables: Mapping[str, Any], part: str, split: str) -> Any:
    if split not in tables:
        cut = "" if part == "train" else f" ({part}=null cuts it out of the training images)"
        raise InvalidInput(f"{part}={split!r}: no such split; {nearest(split, tables)}{cut}")
    if len(tables[split]) == 0:
        raise InvalidInput(f"{part}={split!r}: the split has no rows")
    return tables[split]


def _labels(used: Mapping[str, Any], column: str) -> tuple[Sequence[Any], tuple[str, ...], dict[str, Tensor]]:
    """Returns the label values by number, their names, and the numbered labels of each table."""
    values, names = label_values(used["train"], column)
    classes: Sequence[Any] = range(len(names)) if names else _sorted(set(values), column)
    labels = {"train": number_labels(values, classes, f"label_column={column!r} of train")}
    for part in used:
        if part != "train":
            others, _ = label_values(used[part], column)
            labels[part] = number_labels(others, classes, f"label_column={column!r} of {part}")
    return classes, names or tuple(map(str, classes)), labels


def _sorted(values: set[Any], column: str) -> list[Any]:
    if len({isinstance(value, str) for value in values}) > 1:
        raise InvalidInput(f"label_column={column!r} mixes numbers and text")
    return sorted(values)


def _rows(labels: Mapping[str, Tensor], cuts: Mapping[str, float], seed: int) -> dict[str, Tensor]:
    """Returns the rows of each part within its table; parts in `cuts` are cut out of the training table."""
    rows = {part: torch.arange(len(numbers)) for part, numbers in labels.items()}
    if cuts:
        rows |= stratified(labels["train"], cuts, seed=seed)
    return rows


def _limited(rows: Tensor, limit: int | None, part: str, seed: int) -> Tensor:
    """Returns up to `limit` of the rows, drawn by `seed`, in their order."""
    if limit is None or limit >= len(rows):
        return rows
    if limit < 1:
        raise InvalidInput(f"limit_{part}={limit}: must be at least 1")
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return rows[order[:limit].sort().values]


def _preprocessing(
    pixels: Tensor | EncodedImages,
    form: ImageFormat,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> Preprocessing:
    if (mean is None) != (std is None):
        raise InvalidInput("give mean and std together, or neither")
    resize = RESIZE if form.resize else "none"
    if mean is None or std is None:
        return preprocessing_of(pixels, scale=255.0, resize=resize)
    if len(mean) != form.channels or len(std) != form.channels:
        raise InvalidInput(
            f"mean {list(mean)} and std {list(std)}: give {form.channels} numbers in each, one a channel"
        )
    return Preprocessing(255.0, tuple(mean), tuple(std), resize)
