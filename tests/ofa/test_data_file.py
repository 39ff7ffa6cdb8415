"""A data set in a file comes back with the same bits, and nothing else is taken for one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ofa.checkpoint import load_checkpoint, save_checkpoint
from ofa.data import Dataset, digits, from_tensors, synthetic
from ofa.data.contents import PARTS, changes, contents_of
from ofa.data_file import load_data, save_data
from ofa.errors import InvalidInput


def of_bytes() -> Dataset:
    pixels = torch.randint(0, 256, (60, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return from_tensors(pixels, torch.arange(60) % 3, class_names=["a", "b", "c"])


@pytest.mark.parametrize("make", [digits, of_bytes, lambda: synthetic(samples=80, image_size=8)])
def test_everything_comes_back(make: Any, tmp_path: Path) -> None:
    data = make()
    save_data(data, tmp_path / "data.safetensors")
    again = load_data(tmp_path / "data.safetensors")
    assert (again.name, again.num_classes, again.class_names) == (data.name, data.num_classes, data.class_names)
    for part in PARTS:
        before, after = getattr(data, part), getattr(again, part)
        assert torch.equal(before.images, after.images) and torch.equal(before.labels, after.labels)
        assert before.pixels.dtype == after.pixels.dtype
        assert (before.preprocessing, before.origin) == (after.preprocessing, after.origin)
    assert changes(contents_of(data), contents_of(again)) == ""


def test_known_identities_come_back(tmp_path: Path) -> None:
    data = digits()
    data = replace(data, test=replace(data.test, known_identities=torch.arange(len(data.test))))
    save_data(data, tmp_path / "data.safetensors")
    assert torch.equal(load_data(tmp_path / "data.safetensors").test.identities, torch.arange(len(data.test)))


class Decoded:
    """Images that are made when asked for."""

    shape = (10, 1, 8, 8)

    def take(self, rows: Tensor) -> Tensor:
        return torch.zeros(len(rows), *self.shape[1:])


def test_images_that_are_decoded_are_refused(tmp_path: Path) -> None:
    data = digits()
    data = replace(data, test=replace(data.test, pixels=Decoded(), targets=data.test.labels[:10]))
    with pytest.raises(InvalidInput, match="images of test are decoded when asked for"):
        save_data(data, tmp_path / "data.safetensors")
    assert list(tmp_path.iterdir()) == []


def changed(path: Path, tensors: dict[str, Tensor], **meta: Any) -> Path:
    before, known = load_checkpoint(path)
    kept = {name: tensor for name, tensor in {**before, **tensors}.items() if tensor.numel()}
    save_checkpoint(path, kept, {"data": {**known["data"], **meta}})
    return path


@pytest.mark.parametrize(
    ("tensors", "meta", "said"),
    [
        ({"test.labels": torch.zeros(0)}, {}, r"test\.labels is missing"),
        ({"test.labels": torch.zeros(360)}, {}, r"test\.labels are not one whole number"),
        ({"test.labels": torch.full((360,), 11)}, {}, r"labels run from 11"),
        ({"test.pixels": torch.zeros(360, 8)}, {}, r"do not fit"),
        ({}, {"splits": {}}, r"it needs train, validation, test"),
        ({}, {"num_classes": "ten"}, r"holds no data set: .*num_classes"),
        ({}, {"num_classes": 0}, r"holds no data set"),
    ],
)
def test_damaged_files_are_refused(tensors: dict[str, Tensor], meta: dict[str, Any], said: str, tmp_path: Path) -> None:
    save_data(digits(), tmp_path / "data.safetensors")
    path = changed(tmp_path / "data.safetensors", tensors, **meta)
    with pytest.raises(InvalidInput, match=said):
        load_data(path)


def test_another_checkpoint_is_no_data_set(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "weights.safetensors", {"weight": torch.zeros(3)}, {})
    with pytest.raises(InvalidInput, match="holds no data set"):
        load_data(tmp_path / "weights.safetensors")
