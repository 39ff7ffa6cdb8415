"""Records: what was written is read, and everything else is refused in one line that says what it is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from ofa.errors import InvalidInput
from ofa.records import DEEPEST, Count, Fraction, Object, Record, depth_of, parse_json, read_record, write_record
from tests.record_files import rewrite


class Example(Record, frozen=True, kw_only=True):
    """A kind of file."""

    KIND: ClassVar[str] = "example"
    VERSION: ClassVar[int] = 2
    REMEDY: ClassVar[str] = "bake it again"

    count: Count
    accuracy: dict[str, Fraction]
    more: Object = {}  # noqa: RUF012 (a struct copies it)


EXAMPLE = Example(count=3, accuracy={"test": 0.75}, more={"text": "ü", "small": 1e-300, "large": 10**30})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_record(tmp_path / "example.json", EXAMPLE)
    return tmp_path / "example.json"


def test_round_trip(path: Path) -> None:
    assert read_record(path, Example) == EXAMPLE
    assert list(json.loads(path.read_text()))[:3] == ["kind", "version", "checksum"]
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value))
    assert read_record(path, Example) == EXAMPLE  # the layout is nobody's business
    path.write_text(json.dumps(dict(reversed(value.items()))))
    with pytest.raises(InvalidInput, match="was edited after it was written"):
        read_record(path, Example)  # the order of keys is content: of several devices, one is the first


def test_texts_and_numbers_of_other_classes_are_written_as_plain_ones(tmp_path: Path) -> None:
    values = {"version": torch.__version__, "share": np.float64(0.25)}
    write_record(tmp_path / "other.json", Example(count=1, accuracy={}, more=values))
    read = read_record(tmp_path / "other.json", Example).more
    assert read == values and [type(value) for value in read.values()] == [str, float]


def test_every_truncation_is_said_to_be_damage(path: Path) -> None:
    whole = path.read_bytes()
    for size in range(len(whole.rstrip()) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InvalidInput, match=r"example\.json is damaged .*; bake it again$"):
            read_record(path, Example)


@pytest.mark.parametrize(
    "change", [lambda v: v.update(count=4), lambda v: v["more"].update(a=1), lambda v: v["accuracy"].clear()]
)
def test_an_edit_is_said_to_be_one(path: Path, change: object) -> None:
    value = json.loads(path.read_text())
    change(value)  # type: ignore[operator]
    path.write_text(json.dumps(value))
    with pytest.raises(InvalidInput, match=r"was edited after it was written .*; bake it again$"):
        read_record(path, Example)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("count", -1, r"expected `int` >= 0 at `count`"),
        ("count", "3", r"expected `int`, got `str` at `count`"),
        ("count", None, r"expected `int`, got `null` at `count`"),
        ("accuracy", {"test": 1.5}, r"expected `float` <= 1.0 at `accuracy\[...\]`"),
        ("accuracy", [], r"expected `object`, got `array` at `accuracy`"),
        ("accuracy", {"test": 10**400}, r"out of range at `accuracy"),
        ("kind", "other", r"is of kind 'other', and a 'example' is wanted"),
        ("kind", [1], r"is of kind \[1\]"),
        ("version", 3, r"has version 3 of a example, newer than 2, which this program reads: update"),
        ("version", 1, r"has version 1 of a example, not 2; bake it again"),
        ("version", True, r"has version True"),
        ("version", {}, r"has version \{\}"),
    ],
)
def test_wrong_values_are_named_though_the_checksum_fits(path: Path, key: str, value: object, message: str) -> None:
    rewrite(path, lambda content: content.update({key: value}))
    with pytest.raises(InvalidInput, match=message) as error:
        read_record(path, Example)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"text"', "{}", '{"count": 3, "accuracy": {}}'])
def test_files_without_a_head_are_of_older_versions(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(InvalidInput, match="has no kind, version and checksum"):
        read_record(path, Example)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 5_000 + "1" + "}" * 5_000,
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        '{"a": ' + "9" * 5_000 + "}",
        '{"a": "\\ud800"}',
        "\ufeff{}",
        '{"kind": "example", "kind": "example"}',
        '{"a": {"b": 1, "c": 2, "b": 3}}',
    ],
)
def test_hostile_json_is_damaged(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"is damaged .*; bake it again$"):
        read_record(path, Example)


def test_depth_is_bounded_exactly() -> None:
    deep = "[" * DEEPEST + "]" * DEEPEST
    assert depth_of(parse_json(deep, "file")) == DEEPEST
    with pytest.raises(InvalidInput, match="nested deeper"):
        parse_json(f"[{deep}]", "file")


def test_what_is_no_small_file_is_not_read(tmp_path: Path, path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for wrong, message in ((pipe, "is not a file"), (tmp_path, "is not a file"), (tmp_path / "none", "not exist")):
        with pytest.raises(InvalidInput, match=message):
            read_record(wrong, Example)
    os.truncate(path, 2**33)  # sparse
    with pytest.raises(InvalidInput, match=r"has 8,192 MB, and 64 are the most"):
        read_record(path, Example)


def test_what_could_not_be_read_is_not_written(path: Path) -> None:
    with pytest.raises(InvalidInput, match="accuracy"):
        write_record(path, Example(count=3, accuracy={"test": 7.0}))
    with pytest.raises(ValueError, match="JSON compliant"):
        write_record(path, Example(count=3, accuracy={"test": float("nan")}))
    assert read_record(path, Example) == EXAMPLE
