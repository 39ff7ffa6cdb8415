"""Arrays in files of NumPy: held from .npz, read row by row from .npy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ofa.data import Dataset, batches, content_digests, dataset, from_arrays, from_npz
from ofa.data.contents import PARTS, contents_of
from ofa.data.selection import Selection
from ofa.data.stored_arrays import StoredArray
from ofa.errors import InvalidInput
from tests.ofa.data.test_array_sets import COUNT, TARGETS, numbered

IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 3, 6, 6), dtype=np.uint8)


def write(folder: Path, inputs: Any, **arrays: Any) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in {"inputs": inputs, **arrays}.items():
        np.save(folder / f"{name}.npy", array)
    return str(folder)


def test_a_file_or_a_folder_of_files_is_read(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "all.npz", bands=numbered(7, 4, 4), y=TARGETS["masks"][:, :4, :4], patient=np.arange(COUNT) // 4
    )
    data = from_npz(str(tmp_path / "all.npz"), inputs="bands", groups="patient", num_classes=4)
    assert data.name == "all" and data.input_shape == (7, 4, 4) and data.num_outputs == 4
    folder = tmp_path / "parts"
    folder.mkdir()
    np.savez(folder / "train.npz", inputs=numbered(3), labels=TARGETS["labels"])
    np.savez(folder / "test.npz", inputs=numbered(3)[:5], labels=TARGETS["labels"][:5])
    data = from_npz(str(folder))
    assert [len(getattr(data, part)) for part in PARTS] == [48, 12, 5] and data.num_classes == 3
    for inputs, targets in batches(data.train, 6, seed=0, epoch=0):
        assert torch.equal(inputs[:, 0].long() % 3, targets)


def with_array(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "some.npz", **arrays)
    return str(folder / "some.npz")


@pytest.mark.parametrize("inputs", [IMAGES, numbered(7, 4), numbered(9).astype(np.int32) % 5, IMAGES.astype(">f4")])
def test_rows_read_from_a_file_are_those_in_memory(tmp_path: Path, inputs: np.ndarray[Any, Any]) -> None:
    stored = from_npz(write(tmp_path / "mine", inputs, y=TARGETS["labels"]))
    held = from_arrays(inputs.astype(inputs.dtype.newbyteorder("=")), TARGETS["labels"], name="mine")
    assert isinstance(stored.train.pixels, StoredArray) and held.train.in_memory
    assert contents_of(stored).sizes == contents_of(held).sizes
    assert stored.train.preprocessing == held.train.preprocessing
    read = [list(batches(each.train, 5, seed=1, epoch=2)) for each in (stored, held)]
    for one, other in zip(*read, strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
    if inputs.dtype == np.uint8:
        assert contents_of(stored).digests == contents_of(held).digests


def test_a_split_is_a_folder_of_its_own(tmp_path: Path) -> None:
    for part, rows in (("train", slice(0, 40)), ("validation", slice(40, 60))):
        write(tmp_path / part, IMAGES[rows], targets=TARGETS["labels"][rows])
    data = from_npz(str(tmp_path))
    assert [len(getattr(data, part)) for part in PARTS] == [31, 20, 9]
    order = torch.tensor([3, 4, 5, 0, 19, 18])
    assert torch.equal(data.validation.stored(order), torch.from_numpy(IMAGES[40:])[order])


def test_what_a_file_holds_is_looked_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(content_digests, "_SETTLED_NS", -(10**12))  # a file may be known that was written just now
    path = write(tmp_path / "mine", IMAGES, y=TARGETS["labels"])
    before = contents_of(from_npz(path)).digests
    with monkeypatch.context() as without:
        without.setattr(StoredArray, "_all_identities", lambda _: pytest.fail("looked through again"))
        assert contents_of(from_npz(path)).digests == before
    for file in (tmp_path / "cache/ofa/arrays").iterdir():
        file.write_bytes(file.read_bytes()[:-8])
    assert contents_of(from_npz(path)).digests == before
    write(tmp_path / "mine", IMAGES[::-1].copy())
    assert contents_of(from_npz(path)).digests != before


def calibration(data: Dataset, monkeypatch: pytest.MonkeyPatch, most: int) -> Any:
    monkeypatch.setattr(dataset, "_HELD_BYTES", most)
    return data.calibration_source(20)


def test_calibration_images_that_take_much_memory_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = from_npz(write(tmp_path / "mine", IMAGES, y=TARGETS["labels"]))
    held, source = calibration(data, monkeypatch, 10**6), calibration(data, monkeypatch, 10)
    assert isinstance(held, torch.Tensor) and isinstance(source, Selection)
    assert source.batch == 20
    assert torch.equal(source.rows(4, 9).only, held[4:9])
    assert source.with_height(3).rows(0, 2).only.shape == (2, 3, 3, 3)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"is no file; give an \.npz file"):
        from_npz(str(tmp_path / "gone.npz"))
    with pytest.raises(InvalidInput, match=r"has no array 'inputs'; did you mean input\?"):
        from_npz(with_array(tmp_path, input=numbered(3)))
    with pytest.raises(InvalidInput, match=r"cannot read .*some\.npz as \.npz: .*pickle"):
        from_npz(with_array(tmp_path, inputs=np.array([{}] * COUNT, dtype=object)))
    (tmp_path / "some.npz").write_bytes(b"no archive")
    with pytest.raises(InvalidInput, match=r"cannot read .*some\.npz"):
        from_npz(str(tmp_path / "some.npz"))


def test_a_file_that_is_cut_off_or_a_part_of_one_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "mine", IMAGES, y=TARGETS["labels"])
    whole = np.load(tmp_path / "mine/inputs.npy", mmap_mode="r")
    with pytest.raises(InvalidInput, match="is a part of a file"):
        from_arrays(whole[5:], TARGETS["labels"][5:])
    data = from_npz(path)
    with (tmp_path / "mine/inputs.npy").open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(InvalidInput, match=r"inputs\.npy is shorter than its header says; restore it"):
        data.train.take(torch.tensor([35]))
    with pytest.raises(InvalidInput, match=r"cannot read .*inputs\.npy as \.npy"):
        from_npz(path)
