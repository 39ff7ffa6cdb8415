"""Tables of columns, from CSV and parquet files: read whole, each column numbers or text."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa.errors import InvalidInput, nearest

Columns = Mapping[str, list[Any]]  # by name; None where a value is missing
_MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
_MOST_CATEGORIES = 64


def read_columns(path: str) -> dict[str, list[Any]]:
    """Returns the columns of a CSV file with a line of names, or of a parquet file, in order.

    Texts of a CSV file that are all numbers, apart from missing ones, are numbers.

    Raises:
        InvalidInput: no such file, one that is damaged, lines of other lengths, or a table without rows.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise InvalidInput(f"{path} is no file; give one ending in .csv, .tsv or .parquet")
    columns = _parquet(file) if file.suffix == ".parquet" else _csv(file)
    if not columns or not len(next(iter(columns.values()))):
        raise InvalidInput(f"{path} has no rows")
    return columns


def column(columns: Columns, name: str, option: str) -> list[Any]:
    """Returns a column by name.

    Raises:
        InvalidInput: there is none of that name.
    """
    if name not in columns:
        raise InvalidInput(f"{option}={name!r}: no such column; {nearest(name, columns)}")
    return columns[name]


def is_text(values: Sequence[Any]) -> bool:
    """Whether a column holds text, in any of its rows."""
    return any(isinstance(value, str) for value in values)


def numbers(values: Sequence[Any], name: str) -> Tensor:
    """Returns a column of numbers, (N,) float32, NaN where they are missing.

    Raises:
        InvalidInput: a value that is no number.
    """
    for row, value in enumerate(values):
        if value is not None and not isinstance(value, bool | int | float):
            raise InvalidInput(f"column {name!r}: row {row} is {value!r:.40}, which is no number; leave the column out")
    return torch.tensor([math.nan if value is None else float(value) for value in values], dtype=torch.float32)


def categories(values: Sequence[Any], name: str) -> tuple[Tensor, tuple[str, ...]]:
    """Returns the number of each value among the sorted different ones, (N,) int64, and those as text.

    Raises:
        InvalidInput: a value is missing.
    """
    if None in values:
        raise InvalidInput(f"column {name!r}: row {values.index(None)} is empty; every example needs a class")
    known = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    position = {value: number for number, value in enumerate(known)}
    return torch.tensor([position[value] for value in values]), tuple(map(str, known))


def features(columns: Columns, names: Sequence[str]) -> tuple[Tensor, list[bool]]:
    """Returns rows (N, features) float32, NaN where a number is missing, and which of the features are numbers.

    A column of text becomes one feature for each of its values, 1 where it has it: a missing one has none.

    Raises:
        InvalidInput: a column of text with more than 64 values.
    """
    parts: list[Tensor] = []
    are_numbers: list[bool] = []
    for name in names:
        values = column(columns, name, "inputs")
        if not is_text(values):
            parts.append(numbers(values, name)[:, None])
            are_numbers.append(True)
            continue
        texts = [None if value is None else str(value) for value in values]
        known = sorted({text for text in texts if text is not None})
        if len(known) > _MOST_CATEGORIES:
            raise InvalidInput(
                f"column {name!r} is text with {len(known)} different values, more than {_MOST_CATEGORIES}; leave it "
                "out of inputs, or give numbers"
            )
        position = {text: number for number, text in enumerate(known)}
        hot = np.zeros((len(texts), len(known)), np.float32)
        for row, text in enumerate(texts):
            if text is not None:
                hot[row, position[text]] = 1
        parts.append(torch.from_numpy(hot))
        are_numbers += [False] * len(known)
    return torch.cat(parts, dim=1), are_numbers


def _csv(file: Path) -> dict[str, list[Any]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.reader(lines, delimiter="\t" if file.suffix == ".tsv" else _delimiter(file)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"cannot read {file} as CSV in UTF-8: {error}") from None
    rows = [row for row in rows if row]
    if not rows:
        return {}
    names, *body = rows
    if len(set(names)) < len(names):
        raise InvalidInput(f"{file} names a column twice: {', '.join(names):.80}; its first line must name each once")
    for number, row in enumerate(body):
        if len(row) != len(names):
            raise InvalidInput(f"{file}: row {number} has {len(row)} values for {len(names)} columns; mend the file")
    return {name: _values([row[column] for row in body]) for column, name in enumerate(names)}


def _delimiter(file: Path) -> str:
    with file.open(encoding="utf-8-sig") as lines:
        first = lines.readline()
    return ";" if first.count(";") > first.count(",") else ","


def _values(texts: Sequence[str]) -> list[Any]:
    """Numbers where all that is there are numbers, otherwise texts."""
    there = [None if text.strip().lower() in _MISSING else text.strip() for text in texts]
    try:
        return [None if text is None else float(text) for text in there]
    except ValueError:
        return list(there)


def _parquet(file: Path) -> dict[str, list[Any]]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise InvalidInput("parquet files need the extra: pip install 'ofa-search[data]'") from None
    try:
        table = parquet.read_table(str(file))
    except Exception as error:  # Arrow's errors share no base class with those of files
        raise InvalidInput(f"cannot read {file} as parquet: {' '.join(str(error).split()):.200}") from None
    return {name: table.column(name).to_pylist() for name in table.column_names}
