"""Tables of files and of scikit-learn: numbers standardized, text as categories, targets of numbers or classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ofa.data import bundled_table, table
from ofa.data.checks import check_data
from ofa.data.contents import PARTS
from ofa.errors import InvalidInput

ROWS = [
    f"{row % 7 + 0.5},{'red' if row % 2 else 'blue'},{row},{row * 2},{'yes' if row % 3 else 'no'},p{row // 4}"
    for row in range(40)
]
HEADER = "size,color,price,tax,good,patient"


def written(folder: Path, rows: list[str] = ROWS, header: str = HEADER, name: str = "things.csv") -> str:
    (folder / name).write_text("\n".join([header, *rows]) + "\n")
    return str(folder / name)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_numbers_are_standardized_and_text_becomes_categories(separator: str, tmp_path: Path) -> None:
    rows = [row.replace(",", separator) for row in ROWS]
    path = written(tmp_path, rows, HEADER.replace(",", separator), "things.tsv" if separator == "\t" else "things.csv")
    data = table(path, targets="price", inputs=["size", "color"])
    assert data.name == "things" and data.input_shape == (3,) and data.target_names == ("price",)
    seen = data.train.images
    torch.testing.assert_close(seen[:, 0].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[:, 0].std(correction=0), torch.tensor(1.0), atol=1e-4, rtol=0)
    for part in PARTS:
        split = getattr(data, part)
        assert torch.equal(split.images[:, 2].long(), split.targets.long() % 2)  # odd rows are red
        assert torch.equal(split.images[:, 1] + split.images[:, 2], torch.ones(len(split)))
    assert sorted(torch.cat([getattr(data, part).targets for part in PARTS]).tolist()) == list(range(40))


def test_targets_are_classes_or_numbers(tmp_path: Path) -> None:
    path = written(tmp_path)
    data = table(path, targets="good", inputs=["price"])
    assert data.class_names == ("no", "yes") and data.num_classes == 2 and data.target_names == ()
    several = table(path, targets=["price", "tax"])
    assert several.num_outputs == 2 and several.target_names == ("price", "tax")
    assert torch.equal(several.train.targets[:, 0] * 2, several.train.targets[:, 1])
    assert several.input_shape == (1 + 2 + 2 + 10,)
    counted = table(path, targets="size", inputs=["price"], classes=True)
    assert counted.class_names == ("0.5", "1.5", "2.5", "3.5", "4.5", "5.5", "6.5")


def test_groups_are_apart_and_no_input(tmp_path: Path) -> None:
    data = table(written(tmp_path), targets="price", groups="patient")
    assert data.input_shape == (1 + 2 + 1 + 2,)
    parts = [{int(price) // 4 for price in getattr(data, part).targets.tolist()} for part in PARTS]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 10


def test_missing_numbers_are_refused_or_filled(tmp_path: Path) -> None:
    path = written(tmp_path, [*ROWS, ",red,50,1,yes,p9", "NA,,51,1,yes,p9"])
    with pytest.raises(InvalidInput, match="things: row 40 lacks a number; give missing=mean"):
        table(path, targets="price")
    data = table(path, targets="price", inputs=["size", "color"], missing="mean")
    every = torch.cat([getattr(data, part).images for part in PARTS])
    targets = torch.cat([getattr(data, part).targets for part in PARTS])
    assert every[targets == 50, 0].abs().max() < 1e-5 and every[targets == 51].abs().max() < 1e-5


def test_parquet_is_the_same_table(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    path = written(tmp_path)
    parquet.write_table(csv.read_csv(path), tmp_path / "things.parquet")
    one, other = (table(str(file), targets="price") for file in (path, tmp_path / "things.parquet"))
    assert torch.equal(one.train.images, other.train.images) and torch.equal(one.test.targets, other.test.targets)


@pytest.mark.parametrize(
    ("name", "shape", "outputs", "classes", "rows"),
    [
        ("diabetes", (10,), 1, None, 442),
        ("linnerud", (3,), 3, None, 20),
        ("breast_cancer", (30,), 2, 2, 569),
        ("wine", (13,), 3, 3, 178),
        ("iris", (4,), 3, 3, 150),
    ],
)
def test_bundled_tables(name: str, shape: tuple[int, ...], outputs: int, classes: int | None, rows: int) -> None:
    data = bundled_table(name)
    assert (data.input_shape, data.num_outputs, data.num_classes) == (shape, outputs, classes)
    assert sum(len(getattr(data, part)) for part in PARTS) == rows
    assert data.train.images.abs().mean() < 1 and data.train.images.dtype == torch.float32
    assert not [note for note in check_data(data) if "images" in note and "too" not in note]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"targets": "cost"}, "targets='cost': no such column; choices: size, color"),
        ({"targets": "pric"}, "did you mean price"),
        ({"inputs": ["size", "price"]}, "inputs and targets both have 'price'"),
        ({"groups": "doctor"}, "groups='doctor': no such column"),
        ({"missing": "zero"}, "missing='zero' is unknown"),
        ({"targets": ["price", "good"]}, "column 'good': row 0 is 'no', which is no number"),
        ({"targets": [], "inputs": ["size"]}, r"targets=\[\]: classes are of one column"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=said):
        table(**{"path": written(tmp_path), "targets": "price", **given})


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"is no file; give one ending in \.csv"):
        table(str(tmp_path / "gone.csv"), targets="a")
    with pytest.raises(InvalidInput, match="row 2 has 1 values for 2 columns"):
        table(written(tmp_path, ["1,2", "3,4", "5"], "a,b"), targets="a")
    with pytest.raises(InvalidInput, match="has no rows"):
        table(written(tmp_path, [], "a,b"), targets="a")
    with pytest.raises(InvalidInput, match="names a column twice"):
        table(written(tmp_path, ["1,2"], "a,a"), targets="a")
    with pytest.raises(InvalidInput, match="is text with 70 different values, more than 64"):
        table(written(tmp_path, [f"{row},word{row}" for row in range(70)], "a,b"), targets="a")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InvalidInput, match=r"cannot read .*bad\.parquet as parquet|need the extra"):
        table(str(tmp_path / "bad.parquet"), targets="a")
