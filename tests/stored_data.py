"""Data in files and in code, in the forms that configurations of conf/data read."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.composed import composed

COUNT = 100


class Rows:
    """A map-style data set: four numbers, and their sum as target."""

    def __len__(self) -> int:
        """As many as there are rows."""
        return COUNT

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        """A row."""
        numbers = torch.randn(4, generator=torch.Generator().manual_seed(row))
        return numbers, numbers.sum()


def loader(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields two batches of 32 rows."""
    for _ in range(2):
        numbers = torch.randn(32, 4)
        yield numbers, numbers.sum(dim=1)


def stored(folder: Path, data: str) -> list[str]:
    """Returns the overrides of a data set's configuration that name what is written to a folder."""
    return STORED[data](folder, data)


def of_images(folder: Path, data: str) -> list[str]:
    """A few images, in folders or in parquet files."""
    pytest.importorskip("datasets")
    from PIL import Image

    rng = np.random.default_rng(0)
    channels = 1 if data == "mnist" else 3
    shape = (16, 16) if channels == 1 else (16, 16, 3)
    images = [Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)) for _ in range(COUNT)]
    if data == "imagefolder":
        for index, image in enumerate(images):
            path = folder / "train" / f"class_{index % 2}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
        return [f"data.dataset.path={folder}"]
    column = composed("train", f"data={data}", "data.dataset.path=x").data.dataset.image_column
    rows = [{column: {"bytes": encoded(image), "path": None}, "label": n % 2} for n, image in enumerate(images)]
    for split in ("train", "test"):
        write_parquet(folder / f"{split}-00000-of-00001.parquet", rows)
    return [f"data.dataset.path={folder}"]


def write_parquet(file: Path, rows: list[dict[str, Any]]) -> None:
    """Writes rows as a parquet file."""
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), file)


def encoded(image: Any) -> bytes:
    """Returns an image as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def of_text(folder: Path, data: str) -> list[str]:
    """A text of two files."""
    for name in ("a.txt", "b.md"):
        (folder / name).write_text("".join(chr(97 + number * number % 19) for number in range(1000)))
    return [f"data.dataset.path={folder}", "data.dataset.context=16"]


def of_table(folder: Path, data: str) -> list[str]:
    """A CSV of numbers and text."""
    rows = [f"{row},{'red' if row % 3 else 'blue'},{row % 7}" for row in range(COUNT)]
    (folder / "table.csv").write_text("\n".join(["price,color,size", *rows]))
    return [f"data.dataset.path={folder}/table.csv", "data.dataset.targets=price", "train.batch_size=30"]


def of_sounds(folder: Path, data: str) -> list[str]:
    """Sounds of two classes."""
    for row in range(COUNT):
        file = folder / ("cat" if row % 2 else "dog") / f"{row}.wav"
        file.parent.mkdir(exist_ok=True)
        with wave.open(str(file), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes((np.sin(np.arange(50) * (row % 2 + 1)) * 9999).astype("<i2").tobytes())
    return [f"data.dataset.path={folder}"]


def of_arrays(folder: Path, data: str) -> list[str]:
    """Images of five channels, with labels."""
    rng = np.random.default_rng(0)
    np.savez(folder / "a.npz", inputs=rng.random((COUNT, 5, 6, 6), np.float32), y=np.arange(COUNT) % 3)
    return [f"data.dataset.path={folder}/a.npz", "train.batch_size=30"]


def of_rows(folder: Path, data: str) -> list[str]:
    """A parquet file of vectors and labels."""
    pytest.importorskip("datasets")
    write_parquet(folder / "a.parquet", [{"x": [row / COUNT, 1.0], "y": row % 2} for row in range(COUNT)])
    columns = ["data.dataset.inputs=x", "data.dataset.targets=y", "data.dataset.num_classes=2"]
    return [f"data.dataset.path={folder}/a.parquet", "data.dataset.validation=20", "train.batch_size=40", *columns]


def of_code(folder: Path, data: str) -> list[str]:
    """A class and a function of this module."""
    if data == "dataset":
        parts = ["train={_target_: tests.stored_data.Rows}", "validation=0.15", "test=0.15"]
        return [f"data.dataset.{part}" for part in parts]
    made = "{_target_: tests.stored_data.loader, _partial_: true}"
    return [f"data.dataset.{part}={made}" for part in ("train", "validation")] + ["+data.dataset.name=mine", STEPS]


STEPS = "data.dataset.steps={train: 2, validation: 2}"
STORED: dict[str, Callable[[Path, str], list[str]]] = {
    **dict.fromkeys(("cifar10", "imagefolder", "mnist", "parquet"), of_images),
    **{"text_files": of_text, "table": of_table, "sounds": of_sounds, "npz": of_arrays, "stream": of_rows},
    **dict.fromkeys(("dataset", "iterables"), of_code),
}
