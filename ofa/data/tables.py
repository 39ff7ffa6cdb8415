"""Tables of encoded images and labels from parquet files or the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ofa.errors import InvalidInput, nearest


@dataclass(frozen=True, eq=False)
class ImageColumn:
    """One column of a `datasets` table as encoded images."""

    table: Any
    name: str

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.table)

    def __getitem__(self, rows: list[int]) -> Sequence[Any]:
        """Returns {"bytes", "path"} or bytes for each row."""
        encoded: Sequence[Any] = self.table[rows][self.name]
        return encoded


def open_tables(path: str, *, subset: str | None, cache_dir: str | None) -> Mapping[str, Any]:
    """Returns the `datasets` tables of `path` by split name; a single file is the split "train".

    `path` is a parquet file, a folder of those, or a name on the hub.

    Raises:
        InvalidInput: nothing is at `path`, or it cannot be read.
    """
    import datasets

    location = Path(path).expanduser()
    arguments: dict[str, Any] = {"path": path, "name": subset}
    if location.is_file():
        if location.suffix != ".parquet":
            raise InvalidInput(
                f"{path} is not a parquet file; give one, a folder of parquet files or a folder of images"
            )
        arguments = {"path": "parquet", "data_files": str(location)}
    elif location.is_dir():
        arguments = {"path": str(location), "name": subset}
    try:
        tables = datasets.load_dataset(**arguments, cache_dir=cache_dir)
    except Exception as error:  # this library, its file readers and its network clients share no base class
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        kind = "a parquet file" if arguments["path"] == "parquet" else "a data set"
        where = "" if location.exists() else ", on this disk or on the hub"
        raise InvalidInput(f"cannot read {path} as {kind}{where}: {reason:.200}") from error
    return dict(tables)


def check_installed() -> None:
    """Checks that the libraries which read files are installed.

    Raises:
        InvalidInput: the extra `data` is not installed.
    """
    try:
        import datasets  # noqa: F401
        import PIL  # noqa: F401  (needed to decode)
    except ImportError as error:
        raise InvalidInput(
            f"data from files or the hub needs the extra: pip install 'ofa-search[data]' ({error})"
        ) from None


def check_there(path: str) -> None:
    """Checks that `path` exists, if it names something on this disk.

    Raises:
        InvalidInput: it is not there.
    """
    location = Path(path).expanduser()
    if not location.exists() and _looks_local(path):
        raise InvalidInput(f"{path} does not exist{_beside(location)}")


def image_column(table: Any, name: str) -> ImageColumn:
    """Returns column `name` of a table as encoded images.

    Raises:
        InvalidInput: no such column (the error names those there are), or it does not hold images.
    """
    import datasets

    _check_column(table, name, "image_column")
    feature = table.features[name]
    if not _holds_images(feature):
        images = [other for other, kind in table.features.items() if _holds_images(kind)]
        there = f"columns with images: {', '.join(images)}" if images else "no column of this data set does"
        raise InvalidInput(f"image_column={name!r} does not hold encoded images but {_type_name(feature)}; {there}")
    column = table.select_columns([name])
    if isinstance(feature, datasets.Image):
        column = column.cast_column(name, datasets.Image(decode=False))
    return ImageColumn(column, name)


def label_values(table: Any, name: str) -> tuple[list[Any], tuple[str, ...]]:
    """Returns the labels of all rows as stored, and the class names where the table knows them (else empty).

    Raises:
        InvalidInput: no such column (the error names those there are), or it holds neither whole numbers nor
        text.
    """
    _check_column(table, name, "label_column")
    feature = table.features[name]
    kind = getattr(feature, "dtype", "")
    if not (isinstance(kind, str) and kind.startswith(("int", "uint", "bool", "string", "large_string"))):
        raise InvalidInput(f"label_column={name!r} holds {_type_name(feature)}; labels are whole numbers or text")
    values: list[Any] = table.select_columns([name]).with_format("arrow")[:].column(name).to_pylist()
    if None in values:
        raise InvalidInput(f"label_column={name!r}: row {values.index(None)} is empty; every image needs a label")
    return values, tuple(getattr(feature, "names", ()))


def number_labels(values: Sequence[Any], classes: Sequence[Any], origin: str) -> Tensor:
    """Returns the position of each value in `classes`, (N,) int64.

    Raises:
        InvalidInput: a value that is not one of the classes.
    """
    position = {value: number for number, value in enumerate(classes)}
    for row, value in enumerate(values):
        if value not in position:
            near = nearest(str(value), [str(known) for known in classes])
            raise InvalidInput(f"{origin}: row {row} has label {value!r}, which no training image has; {near}")
    return torch.tensor([position[value] for value in values], dtype=torch.int64)


def _check_column(table: Any, name: str, option: str) -> None:
    if name not in table.column_names:
        there = ", ".join(table.column_names)
        raise InvalidInput(f"{option}={name!r}: no such column; the columns are {there}")


def _holds_images(feature: Any) -> bool:
    import datasets

    if isinstance(feature, dict):  # what parquet files without a schema of `datasets` say of {bytes, path}
        return "bytes" in feature
    return isinstance(feature, datasets.Image) or getattr(feature, "dtype", "") in ("binary", "large_binary")


def _type_name(feature: Any) -> str:
    kind = getattr(feature, "dtype", None)
    return str(kind) if isinstance(kind, str) else type(feature).__name__


def _looks_local(path: str) -> bool:
    """Whether a missing path is meant for this disk: names on the hub are "name" or "owner/name"."""
    location = Path(path).expanduser()
    in_a_folder = "/" in path and location.parent.is_dir()
    return in_a_folder or path.startswith((".", "/", "~")) or path.endswith(".parquet") or path.count("/") > 1


def _beside(location: Path) -> str:
    """Returns what a missing path could have meant: its first part that is missing, and what is there instead."""
    missing = location.absolute()
    while not missing.parent.is_dir() and missing.parent != missing:
        missing = missing.parent
    first = "" if missing == location.absolute() else f": there is no {missing}"
    try:
        names = sorted(entry.name for entry in missing.parent.iterdir() if not entry.name.startswith("."))
    except OSError:  # what others may not read
        return first
    hint = nearest(missing.name, names)
    is_system = missing.parent == missing.parent.parent  # what is there is not data, unless it is named so
    return first if is_system and not hint.startswith("did you mean") else f"{first}; {hint}"
