"""Where the splits of a data set come from: tables of parquet files and the hub, or folders of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ofa.data.content_digests import default_cache, identities_of_files, identities_of_rows
from ofa.data.decoding import Encoded
from ofa.data.folders import SPLIT_NAMES, other_folders, read_folder, split_folders
from ofa.data.image_files import Reading
from ofa.data.tables import check_installed, check_there, image_column, label_values, number_labels, open_tables
from ofa.errors import InvalidInput, nearest

AUTO = "auto"  # in place of a split's name: the one that is there, or none


@dataclass(frozen=True, eq=False)
class Source:
    """The encoded images of one split as it is stored, labels (N,) int64 and identities (N,) int64."""

    images: Encoded
    labels: Tensor
    identities: Tensor
    origin: str  # what to call it in an error
    words: str  # where it is, in a few words


@dataclass(frozen=True, eq=False)
class Sources:
    """What is stored of a data set: "train", and "validation" and "test" where they have images of their own."""

    parts: Mapping[str, Source]
    num_classes: int
    class_names: tuple[str, ...]
    reading: Reading


def open_sources(
    path: str,
    wanted: Mapping[str, str | None],
    *,
    image: str,
    label: str,
    subset: str | None,
    cache_dir: str | None,
    reading: Reading,
) -> Sources:
    """Returns what `path` holds: a parquet file, a folder of those or of images, or a name on the hub.

    Args:
        wanted: the name of the split of each part; None: it has no images; "auto": if there are any.
        image, label: the columns of tables.
        subset: the configuration of a data set on the hub.
        cache_dir: for tables and what is known of files; None: in the user's cache.
        reading: limits; its roots are set to the data's folder.

    Raises:
        InvalidInput: nothing at `path`, a missing split or column, labels unknown to the training images, or
            the extra `data` not installed.
    """
    check_installed()
    check_there(path)
    location = Path(path).expanduser()
    if location.is_dir() and not any(location.rglob("*.parquet")):
        cache = Path(cache_dir).expanduser() / "images" if cache_dir else default_cache()
        return _from_folder(location.absolute(), wanted, cache, reading)
    roots = (location.parent if location.is_file() else location,) if location.exists() else _caches(cache_dir)
    reading = replace(reading, roots=tuple(root.resolve() for root in roots))
    return _from_tables(path, open_tables(path, subset=subset, cache_dir=cache_dir), wanted, image, label, reading)


def _from_folder(root: Path, wanted: Mapping[str, str | None], cache: Path, reading: Reading) -> Sources:
    reading = replace(reading, roots=(root,))
    folders = split_folders(root)
    train = read_folder(root, folders["train"], reading)
    used = {part: folders[name] for part, name in _names(wanted, folders).items()}
    files = {"train": train if used["train"] == folders["train"] else read_folder(root, used["train"], reading)}
    for part, folder in used.items():
        if part != "train":
            files[part] = read_folder(root, folder, reading, files["train"].class_names)
    ignored = other_folders(root, folders) + [f"{folders[part].name}/" for part in folders.keys() - used.keys()]
    aside = f" (not used: {', '.join(sorted(ignored)[:4])})" if ignored else ""
    parts = {}
    for part, split in files.items():
        identities = identities_of_files(root, split.files, reading, cache, str(root))
        words = f"{used[part].name}/" + (aside if part == "train" else "")
        parts[part] = Source(split, torch.tensor(split.labels, dtype=torch.int64), identities, f"{root}, {part}", words)
    names = files["train"].class_names
    return Sources(parts, len(names), names, reading)


def _from_tables(
    path: str, tables: Mapping[str, Any], wanted: Mapping[str, str | None], image: str, label: str, reading: Reading
) -> Sources:
    names = _names(wanted, tables)
    used = {part: _table(tables, part, name) for part, name in names.items()}
    values, class_names = label_values(used["train"], label)
    classes: Sequence[Any] = range(len(class_names)) if class_names else _sorted(set(values), label)
    parts = {}
    for part, table in used.items():
        part_labels = values if part == "train" else label_values(table, label)[0]
        labels = number_labels(part_labels, classes, f"label_column={label!r} of {part}")
        images, origin = image_column(table, image), f"{path}, column {image} of {part}"
        identities = identities_of_rows(images, reading, origin)
        parts[part] = Source(images, labels, identities, origin, f"split {names[part]}")
    return Sources(parts, len(classes), class_names or tuple(map(str, classes)), reading)


def _names(wanted: Mapping[str, str | None], there: Mapping[str, Any]) -> dict[str, str]:
    """Returns the name of the split of each part that has its own images."""
    names = {}
    for part, name in wanted.items():
        if name == AUTO:
            name = next((known for known in (part, *SPLIT_NAMES[part]) if known in there), None)
            if name is None and part == "train":
                raise InvalidInput(f"train={AUTO}: there is no split called train; {nearest('train', there)}")
        if name is not None:
            names[part] = name
    for part, name in names.items():
        if name not in there:
            cut = "" if part == "train" else f" ({part}=null cuts it out of the training images)"
            raise InvalidInput(f"{part}={name!r}: no such split; {nearest(name, there)}{cut}")
    return names


def _table(tables: Mapping[str, Any], part: str, split: str) -> Any:
    if len(tables[split]) == 0:
        raise InvalidInput(f"{part}={split!r}: the split has no rows")
    return tables[split]


def _sorted(values: set[Any], column: str) -> list[Any]:
    if len({isinstance(value, str) for value in values}) > 1:
        raise InvalidInput(f"label_column={column!r} mixes numbers and text")
    return sorted(values)


def _caches(cache_dir: str | None) -> tuple[Path, ...]:
    """Returns where downloaded files of the hub's data sets are cached."""
    import datasets
    from huggingface_hub.constants import HF_HUB_CACHE

    caches = [] if cache_dir is None else [Path(cache_dir).expanduser()]
    return (*caches, Path(datasets.config.HF_DATASETS_CACHE), Path(HF_HUB_CACHE))
