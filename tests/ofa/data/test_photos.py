"""Photos in tar shards, as WebDataset writes them: one size, the same bits after a stop, each rank its own shards."""

from __future__ import annotations

import io
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ofa.data import Dataset, batches, stream
from ofa.data.photos import photo
from ofa.errors import InvalidInput
from ofa.processes import Processes

pytest.importorskip("datasets")
Image = pytest.importorskip("PIL.Image")

SHARDS, OF_A_SHARD = 4, 6


def jpeg(number: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.full((9 + number % 3, 12, 3), 10 * number, np.uint8)
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=100)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for shard in range(SHARDS):
        with tarfile.open(tmp_path / f"train-{shard:04d}.tar", "w") as file:
            for number in range(shard * OF_A_SHARD, (shard + 1) * OF_A_SHARD):
                for suffix, content in (("jpg", jpeg(number)), ("cls", str(number % 3).encode())):
                    entry = tarfile.TarInfo(f"{number:06d}.{suffix}")
                    entry.size = len(content)
                    file.addfile(entry, io.BytesIO(content))
    with tarfile.open(tmp_path / "train-0000.tar") as first:
        first.extractall(tmp_path / "other", filter="data")
    with tarfile.open(tmp_path / "test-0000.tar", "w") as file:
        file.add(tmp_path / "other/000001.jpg", "1.jpg")
        file.add(tmp_path / "other/000001.cls", "1.cls")
    return tmp_path


def shards(folder: Path, **options: Any) -> Dataset:
    transform = partial(photo, size=8)
    given = {"inputs": "jpg", "targets": "cls", "transform": transform, "num_classes": 3, "validation": "test"}
    return stream(str(folder), **{**given, **options})


def numbers(made: list[Any]) -> list[int]:
    return [round(float(value) * 25.5) for images, _ in made for value in images[:, 0, 0, 0]]


def test_tar_shards_are_read_in_any_order_and_from_any_step(folder: Path) -> None:
    data = shards(folder, shuffle_buffer=5)
    assert len(data.train) == SHARDS * OF_A_SHARD and data.input_shape == (3, 8, 8)
    whole, rest = (list(batches(data.train, 4, seed=0, epoch=1, start=start)) for start in (0, 3))
    found = numbers(whole)
    assert sorted(found) == list(range(24)) and found != sorted(found)
    assert [int(label) for _, labels in whole for label in labels] == [number % 3 for number in found]
    assert all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(whole[3:], rest, strict=True))


def test_ranks_read_tar_shards_of_their_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, seen = shards(folder, shuffle_buffer=0), []
    for rank in range(2):
        monkeypatch.setattr("ofa.data.hub_streams.processes", lambda rank=rank: Processes(rank, 2))
        seen.append(set(numbers(list(batches(data.train, 4, seed=0, epoch=0)))))
    assert seen[0] | seen[1] == set(range(24)) and not seen[0] & seen[1]


def test_a_photo_is_scaled_and_what_is_none_is_said() -> None:
    gray = photo({"jpg": jpeg(12), "cls": 1}, size=5, channels=1)
    assert gray["jpg"].shape == (1, 5, 5) and gray["cls"] == 1
    torch.testing.assert_close(gray["jpg"], torch.full((1, 5, 5), 120 / 255), atol=0.01, rtol=0)
    with pytest.raises(InvalidInput, match="rows have no 'jpg'; they have png"):
        photo({"png": jpeg(1)})
    with pytest.raises(InvalidInput, match="jpg: not a readable image"):
        photo({"jpg": b"none"})
